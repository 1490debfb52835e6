package auth

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// readPrivate reads the refresh token; "" if there is no file yet. A file that others can read is refused.
func readPrivate(file string) (string, error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read refresh_token_file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("read refresh_token_file: %w", err)
	case !info.Mode().IsRegular() || info.Size() > 1<<20:
		return "", fmt.Errorf("read refresh_token_file %s: this is no file that logferry has written", file)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("read refresh_token_file %s: others than its owner can use it (mode %04o), so it is not used: chmod 600, and if it was open for long, revoke the user's sessions and sign in again", file, info.Mode().Perm())
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return "", fmt.Errorf("read refresh_token_file: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// writePrivate replaces the file as a whole, so that neither a crash nor a full disk leaves half a token.
func writePrivate(file, content string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write refresh_token_file: %w", err)
	}
	_, err = tmp.WriteString(content + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write refresh_token_file: %w", err)
	}
	return nil
}
