package audit_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/deedbroker/deed/audit"
)

// An attribute that is added to events must not be forgotten where they are encoded.
func TestEveryAttributeIsEncoded(t *testing.T) {
	t.Parallel()
	e := validEvent()
	fields := reflect.ValueOf(&e).Elem()
	for i := range fields.NumField() {
		name, f := fields.Type().Field(i).Name, fields.Field(i)
		if !f.IsZero() {
			continue
		}
		switch f.Interface().(type) {
		case string:
			f.SetString("of " + name)
		case *time.Time:
			f.Set(reflect.ValueOf(&e.Time))
		case []audit.Payload: // stored apart
		case bool: // not stored
			f.SetBool(true)
		default:
			t.Fatalf("the test does not know how to set the attribute %s", name)
		}
	}
	got, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("encoded as\n%s\nwant\n%s", got, want)
	}
}
