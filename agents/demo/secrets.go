package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Secrets let another process of the same user get tokens from a running demo. A
// new start of the demo makes them worthless.
type Secrets struct {
	Issuer  string            `json:"issuer"`
	Clients map[string]string `json:"clients"` // secret by agent
}

// SaveSecrets writes them to a file that only its owner can read (0600), in place
// of the one before.
func SaveSecrets(path string, s Secrets) error {
	if err := saveSecrets(path, s); err != nil {
		return fmt.Errorf("save demo secrets: %w", err)
	}
	return nil
}

func saveSecrets(path string, s Secrets) (err error) {
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(append(body, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// LoadSecrets reads what SaveSecrets wrote. It fails if others may read the file,
// or if its issuer is no demo issuer on this machine. The error wraps
// fs.ErrNotExist where no demo has been started.
func LoadSecrets(path string) (Secrets, error) {
	s, err := loadSecrets(path)
	if err != nil {
		return Secrets{}, fmt.Errorf("load demo secrets: %w", err)
	}
	return s, nil
}

func loadSecrets(path string) (s Secrets, err error) {
	file, err := os.Open(path) //nolint:gosec // the caller's own path
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return s, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return s, fmt.Errorf("%s is readable by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	body, err := io.ReadAll(io.LimitReader(file, maxBody))
	if err != nil {
		return s, err
	}
	if json.Unmarshal(body, &s) != nil { // the cause would quote it
		return s, fmt.Errorf("%s is not a file of secrets", path)
	}
	if _, err := parseURL(s.Issuer); err != nil {
		return s, err
	}
	return s, nil
}
