package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// SocketName is the control socket's name in the state folder.
const SocketName = "control.sock"

// ErrNotRunning says that nobody serves the control socket.
var ErrNotRunning = errors.New("no logferry is running on this state folder")

// Control answers status and the like for the process that holds the state file. It is a Unix socket of mode 0600: who may read
// the state file may ask. Each entry of answers is a path with what it answers, each of orders one with what it does. Orders end
// with their client's connection, with ctx, and before stop returns.
func Control(ctx context.Context, dir string, answers map[string]func() (any, error), orders map[string]Order) (stop func(), err error) {
	path := filepath.Join(dir, SocketName)
	// The state file's lock is ours, so whoever made this socket is gone.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	l, err := listenPrivate(dir)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	mux := http.NewServeMux()
	for name, answer := range answers {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, _ *http.Request) {
			v, err := answer()
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			writeJSON(w, v)
		})
	}
	waiter := newOrders(ctx, mux, orders)
	stopServing := Serve(l, mux)
	return func() {
		stopServing()
		waiter.stop()
		_ = os.Remove(path)
	}, nil
}

// listenPrivate makes the socket; its folder is private already, its own mode says it again.
func listenPrivate(dir string) (net.Listener, error) {
	path, release, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the path may be gone by then: Control removes it by its own name
	if err := os.Chmod(filepath.Join(dir, SocketName), 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// socketPath gives a path to the socket that the system can take: a Unix socket's address ends at about 104 bytes, so a long one
// goes through a descriptor of its folder where there is /proc.
func socketPath(dir string) (path string, release func(), err error) {
	path = filepath.Join(dir, SocketName)
	if len(path) <= 100 {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if _, err := os.Stat(short); err != nil {
		_ = f.Close()
		return "", nil, fmt.Errorf("%s is longer than a socket's path may be (100 bytes): choose a shorter state.dir", path)
	}
	return filepath.Join(short, SocketName), func() { _ = f.Close() }, nil
}

// Ask asks the process that runs on the state folder; ErrNotRunning if there is none. The answer is read into v.
func Ask(ctx context.Context, dir, name string, v any) error {
	res, err := send(ctx, dir, http.MethodGet, name, nil, 30*time.Second)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return fmt.Errorf("ask the running process: %w", err)
	}
	return nil
}

// send gives a reply of status 200.
func send(ctx context.Context, dir, method, name string, body io.Reader, timeout time.Duration) (*http.Response, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, release, err := socketPath(dir)
		if err != nil {
			return nil, err
		}
		defer release()
		return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", path)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: timeout}
	req, err := http.NewRequestWithContext(ctx, method, "http://control/"+name, body)
	if err != nil {
		return nil, fmt.Errorf("ask the running process: %w", err)
	}
	res, err := client.Do(req)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("ask the running process: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
		return nil, fmt.Errorf("ask the running process: %s: %s", res.Status, text)
	}
	return res, nil
}
