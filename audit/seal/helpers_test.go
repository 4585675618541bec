package seal_test

import (
	"encoding/json"
	"fmt"

	"github.com/deedbroker/deed/audit"
)

// panicker fails where there is no test to fail.
type panicker struct{}

func (panicker) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func encode(e audit.Event) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}
