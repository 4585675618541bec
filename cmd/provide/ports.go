package provide

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// Ports returns free ports of the loopback interface for what runs in dir, by
// name. They are written down there: whoever asks again gets the same.
func Ports(ctx context.Context, dir string, names ...string) (map[string]int, error) {
	ports := map[string]int{}
	path := filepath.Join(dir, "ports.json")
	text, err := os.ReadFile(path) //nolint:gosec // the caller's directory
	if err == nil {
		err = json.Unmarshal(text, &ports)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ports: %w", err)
	}
	var missing []string
	for _, name := range names {
		if ports[name] == 0 {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return ports, nil
	}
	free, err := freePorts(ctx, len(missing))
	if err != nil {
		return nil, fmt.Errorf("find free ports: %w", err)
	}
	for i, name := range missing {
		ports[name] = free[i]
	}
	if text, err = json.Marshal(ports); err != nil {
		return nil, err
	}
	return ports, os.WriteFile(path, text, 0o600)
}

// freePorts finds ports that nobody listens on, all different.
func freePorts(ctx context.Context, n int) (ports []int, err error) {
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // nobody was served
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
