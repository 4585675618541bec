package pulsar

import (
	"fmt"
	"testing"
)

func TestAShelfKnowsWhetherItIsWhole(t *testing.T) {
	t.Parallel()
	var s shelf
	s.begin()
	body := make([]byte, shelfBytes/8)
	for i := range 8 {
		s.add(fmt.Sprint(i), body)
		s.add(fmt.Sprint(i), body) // it has it already
	}
	if _, known := s.get("0"); !known || !s.isWhole() {
		t.Errorf("the first of what has room is known: %t, and nothing is said to be missing: %t", known, s.isWhole())
	}
	s.add("8", body)
	_, first := s.get("0")
	_, last := s.get("8")
	if first || !last || s.isWhole() || s.bytes != shelfBytes {
		t.Errorf("the oldest is there: %t, the newest: %t, nothing is said to be missing: %t, %d bytes", first, last, s.isWhole(), s.bytes)
	}
}
