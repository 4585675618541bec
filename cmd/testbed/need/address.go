package need

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// Systems give connections ports of 32768 and more (Linux), or of 49152 and more. Those
// below have to be asked for by number.
const (
	firstPort = 12_000
	ports     = 20_000
)

// nextPort begins elsewhere in each process, as several test at a time.
var nextPort = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(uint32(os.Getpid() * 97 % ports))
	return n
}()

// Address is one on loopback where nobody listens, and where no connection begins by
// chance before whoever asks has begun to listen there, or does so again.
func Address(tb testing.TB) string {
	tb.Helper()
	var last error
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(firstPort+nextPort.Add(1)%ports), 10))
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", address)
		if err != nil {
			last = err // it is taken
			continue
		}
		if err := l.Close(); err != nil {
			tb.Fatal(err)
		}
		return address
	}
	tb.Fatalf("no port is free: %v", last)
	return ""
}
