package upstream

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"github.com/deedbroker/deed/tools"
)

// writeTimeout is how long a process may leave a request unread in its pipe.
const writeTimeout = 10 * time.Second

// requestWriter writes whole requests to a process's standard input. After a request
// that was written in part nothing more can be said, so the session is lost.
type requestWriter struct {
	file *os.File
	lost func(error)
	mu   sync.Mutex // one message at a time
}

// Write writes one message.
func (w *requestWriter) Write(request []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.file.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		w.lost(errNotWritten)
		return 0, errNotWritten
	}
	n, err := w.file.Write(request)
	switch {
	case err == nil:
		return n, nil
	case n == 0:
		w.lost(errNotWritten)
		return 0, errNotWritten
	default:
		w.lost(errHalf)
		return n, errHalf
	}
}

// Close closes the pipe, which asks the process to end.
func (w *requestWriter) Close() error { return w.file.Close() }

// messageReader reads a process's standard output up to the first message, a line, that is
// too long. It tells why it ends, and ends like a file.
type messageReader struct {
	file       *os.File
	left, most int // bytes of the line that is being read
	lost       func(error)
}

// Read reads from the process.
func (r *messageReader) Read(b []byte) (int, error) {
	n, err := r.file.Read(b)
	if last := bytes.LastIndexByte(b[:n], '\n'); last >= 0 {
		if bytes.IndexByte(b[:n], '\n') > r.left {
			return r.end(tools.ErrTooLarge)
		}
		r.left = r.most - (n - last - 1)
	} else {
		r.left -= n
	}
	if r.left < 0 {
		return r.end(tools.ErrTooLarge)
	}
	if err != nil {
		_, _ = r.end(errClosedOutput)
		return n, io.EOF
	}
	return n, nil
}

func (r *messageReader) end(reason error) (int, error) {
	r.lost(reason)
	return 0, io.EOF
}
