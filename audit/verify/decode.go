package verify

import "github.com/deedbroker/deed/audit"

func decode(stored []byte) (audit.Event, error) { return audit.ParseEvent(stored) }
