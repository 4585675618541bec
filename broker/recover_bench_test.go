package broker_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/audittest"
	"github.com/deedbroker/deed/audit/embedded"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/brokertest"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

const benchRecords = 200_000

// BenchmarkOpen opens a broker over a log of 200,000 records of calls.
func BenchmarkOpen(b *testing.B) {
	log, err := embedded.Open(b.Context(), b.TempDir(), embedded.Options{ReserveBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	var writers sync.WaitGroup
	const parallel = 256
	for range parallel {
		writers.Go(func() {
			for i := range benchRecords / 2 / parallel {
				id := audittest.NewID()
				for _, e := range []audit.Event{audittest.Intent(id, fmt.Sprintf(`{"amount":%d}`, i)), audittest.Result(id, `{"content":[]}`)} {
					if _, err := log.Append(b.Context(), e); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	writers.Wait()
	policies, err := broker.NewPolicies(brokertest.Files(policies), policy.Options{})
	if err != nil {
		b.Fatal(err)
	}
	registry := tools.NewRegistry(tools.RegistryOptions{Review: policies.Review})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.Open(b.Context(), broker.Config{Tenant: audittest.Tenant, Log: log, Payloads: log, Catalogue: registry, Policies: policies}); err != nil {
			b.Fatal(err)
		}
	}
}
