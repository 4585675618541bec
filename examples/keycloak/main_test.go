package keycloak_test

import (
	"testing"

	"github.com/deedbroker/deed/cmd/testbed/need"
)

func TestMain(m *testing.M) { need.Main(m) }
