package app

import (
	"fmt"
	"net"

	"go.uber.org/zap"

	"github.com/logferry/logferry/pkg/telemetry"
)

// endpoint is the admin endpoint.
type endpoint struct {
	listen string // as configured
	stop   func() // nil: there is none
}

// listen opens the admin endpoint.
func (a *App) listen(at string) (err error) {
	e := endpoint{listen: at}
	if at != "" && at != "off" {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return fmt.Errorf("admin.listen: %w (another address, or \"off\")", err)
		}
		a.log.Info("admin endpoint", zap.String("url", "http://"+l.Addr().String()))
		e.stop = telemetry.Serve(l, a.metrics.AdminHandler(a.Status))
	}
	a.admin = e
	return nil
}

// silence closes the admin endpoint.
func (a *App) silence() {
	if a.admin.stop != nil {
		a.admin.stop()
	}
	a.admin.stop = nil
}

// relisten opens the admin endpoint elsewhere. The one before is closed by done, or, where the two cannot be open at once, before;
// then back opens it again.
func (a *App) relisten(at string) (back, done func(), err error) {
	was := a.admin
	if at == was.listen {
		return func() {}, func() {}, nil
	}
	err = a.listen(at)
	open := err == nil
	if !open && samePort(at, was.listen) {
		a.silence()
		err = a.listen(at)
	}
	back = func() {
		if a.silence(); open {
			a.admin = was
		} else if err := a.listen(was.listen); err != nil {
			a.log.Error("opening the admin endpoint again failed", zap.Error(err))
		}
	}
	done = func() {
		if open && was.stop != nil {
			was.stop()
		}
	}
	if err != nil {
		if was.stop != nil && a.admin.stop == nil {
			back()
		}
		return nil, nil, err
	}
	return back, done, nil
}

// samePort tells whether two addresses differ in their hosts alone: one of all addresses and one of this machine exclude each other.
func samePort(a, b string) bool {
	_, one, err := net.SplitHostPort(a)
	_, other, err2 := net.SplitHostPort(b)
	return err == nil && err2 == nil && one == other
}
