package audit

import "time"

// PayloadsErased stands in control: payloads have outlived their retention. Their
// commitments, and every proof, stay.
const PayloadsErased Type = "dev.deed.control.payloads-erased.v1" // data: Erasure

// Erasure says of which records the payloads are erased. It is written before they are.
type Erasure struct {
	Log    string    `json:"log"`
	From   int64     `json:"from"`   // index of the first record
	To     int64     `json:"to"`     // index of the first that keeps its payloads
	Before time.Time `json:"before"` // what is older has outlived its retention
}
