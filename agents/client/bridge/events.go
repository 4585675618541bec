package bridge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxMessage bounds one message, either way.
const maxMessage = 64 << 20

var errTooLong = errors.New("a message is too long")

// lines yields the lines of r, without their ends, to f until it fails.
func lines(r io.Reader, most int, f func(line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 64<<10), most)
	for s.Scan() {
		if err := f(s.Bytes()); err != nil {
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return errTooLong
	}
	return s.Err()
}

// events gives the data of each server-sent event in r to f (HTML living standard,
// 9.2.6). An event that is cut off by the end is dropped.
func events(r io.Reader, f func(data []byte) error) error {
	var data []byte
	some := false
	return lines(r, maxMessage, func(line []byte) error {
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			if !some || len(data) == 0 {
				data, some = nil, false
				return nil
			}
			err := f(data)
			data, some = nil, false
			return err
		}
		value, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			return nil // event, id, retry and comments say nothing here
		}
		if some {
			data = append(data, '\n')
		}
		some = true
		if data = append(data, bytes.TrimPrefix(value, []byte(" "))...); len(data) > maxMessage {
			return errTooLong
		}
		return nil
	})
}
