package hindsight

import (
	"encoding/json"
	"fmt"

	"github.com/deedbroker/deed/broker/policy"
)

// filesOf are policy files out of the text of an activation, in their order.
func filesOf(text []byte, names []string) ([]policy.File, error) {
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	var files []policy.File
	for _, name := range names {
		files = append(files, policy.File{Name: name, Text: []byte(all[name])})
	}
	return files, nil
}
