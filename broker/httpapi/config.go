package httpapi

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/deedbroker/deed/agents"
	"github.com/deedbroker/deed/agents/denylist"
	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/calls"
	"github.com/deedbroker/deed/audit/grants"
	"github.com/deedbroker/deed/audit/index"
	"github.com/deedbroker/deed/audit/legalhold"
	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/statement"
	"github.com/deedbroker/deed/broker"
	"github.com/deedbroker/deed/broker/policy"
	"github.com/deedbroker/deed/tools"
)

// Defaults of [Config].
const (
	DefaultMaxBody = 64 << 10
	DefaultTimeout = 30 * time.Second
)

// Broker is the broker as people use it; *broker.Broker is one. Its errors are
// read by [broker.AsError].
type Broker interface {
	Pending(ctx context.Context, viewer *agents.Identity) []broker.HeldCall
	Waiting(viewer *agents.Identity) []calls.Call
	Held(ctx context.Context, viewer *agents.Identity, callID string) (broker.HeldCall, error)
	Forecast(ctx context.Context, viewer *agents.Identity, callID, digest string) (broker.Forecast, error)
	Told(c calls.Call, args audit.Payload, shown audit.Shown) (text string, known bool)
	Vote(ctx context.Context, v broker.Vote) (calls.Call, error)
	Edit(ctx context.Context, e broker.Edit) (calls.Call, error)
	Grant(ctx context.Context, r broker.GrantRequest) (grants.Grant, error)
	EndGrant(ctx context.Context, by *agents.Identity, id, reason string) error
	Grants(viewer *agents.Identity) []grants.Grant
	Cancel(ctx context.Context, id *agents.Identity, callID, reason string) (calls.Call, error)
	Definition(ctx context.Context, viewer *agents.Identity, name string) (broker.Review, error)
	ApproveDefinition(ctx context.Context, id *agents.Identity, name, digest string) error
	Reconcile(ctx context.Context, id *agents.Identity, c calls.Call, happened bool, note string) error
	Revoke(ctx context.Context, by *agents.Identity, e denylist.Entry) (broker.Revocation, error)
	Lift(ctx context.Context, by *agents.Identity, id, reason string) error
	Revocations(viewer *agents.Identity) []broker.Revocation
	PreviewErasure(r broker.ErasureRequest) (broker.ErasureExtent, error)
	Erase(ctx context.Context, r broker.ErasureRequest) (broker.ErasureExtent, error)
	PlaceLegalHold(ctx context.Context, by *agents.Identity, scope audit.Scope, reason string) (legalhold.Hold, error)
	LiftLegalHold(ctx context.Context, by *agents.Identity, id, reason string) error
	LegalHolds(viewer *agents.Identity) []legalhold.Hold
	StatementKeys() statement.JWKSet
	KeyRotations() []audit.Rotation
	RotateKey(ctx context.Context, by *agents.Identity, reason string) error
	RevocationOf(agent string) (broker.Revocation, bool)
	Try(t broker.Trial) (broker.Verdict, error)
	Reading(ctx context.Context, by *agents.Identity, look audit.Reading) error
	Browsing(ctx context.Context, by *agents.Identity, look audit.Reading) error
	MayRead(viewer *agents.Identity, s broker.Subject) bool
	Reads(viewer *agents.Identity, s broker.Subject) policy.Tier
	Visible(ctx context.Context, id *agents.Identity) []*tools.Tool
}

// History finds calls; *index.Index is one. It may lag behind the log.
type History interface {
	Search(ctx context.Context, q index.Query) (index.Page, error)
	Call(ctx context.Context, id string) (index.History, error)
	Overview(ctx context.Context, until time.Time, step time.Duration, n int, domains ...string) (index.Overview, error)
	Since(ctx context.Context, since time.Time, most int64) (index.Start, error)
	Behind(ctx context.Context) (index.Lag, error)
	Precedents(ctx context.Context, since time.Time, kinds []index.Alike) (map[index.Alike]index.Precedents, error)
	Agents(ctx context.Context, domains ...string) ([]index.Agent, error)
}

// Log gives what was recorded; *embedded.Log is one.
type Log interface {
	audit.Payloads
	Record(ctx context.Context, p audit.Position) (audit.Record, error)
	Read(ctx context.Context, from audit.Cursor) iter.Seq2[audit.Record, error]
	Sizes(ctx context.Context) (map[string]int64, error)
	Hashes(ctx context.Context, log string) tlog.HashReader
}

// Sealer knows the last signed checkpoint of each log; *seal.Sealer is one.
type Sealer interface {
	Latest(log string) (note string, c seal.Checkpoint, ok bool)
	Witnessed(log string) (note string, c seal.Checkpoint, ok bool)
	Verifier() seal.Verifier
}

// Catalogue is what can be called; *tools.Registry is one.
type Catalogue interface {
	Tools() []*tools.Tool
	Status() []tools.Status
}

// Policies are those in force; *broker.Policies is one.
type Policies interface {
	Set() *policy.Set
	Files() []policy.File
	Findings() policy.Findings
	Check(files []policy.File) (*policy.Set, policy.Findings, error)
}

// Check is one thing that must be so before requests should come here.
type Check struct {
	Name  string
	Check func(ctx context.Context) error // nil when it is so; what it says is public
	// Advisory: it is said, and does not make the broker unready.
	Advisory bool
}

// Config is what the API needs. All but Agents, Push, Spooled, Ready, MaxBody and Timeout are required.
type Config struct {
	Broker    Broker
	History   History
	Log       Log
	Sealer    Sealer
	Catalogue Catalogue
	Policies  Policies
	Agents    func() map[string]RegisteredAgent // by their ids; may be nil
	Push      Push                              // nil: nothing is pushed to browsers
	Spooled   func() int                        // how many outcomes wait for the log to be back; may be nil
	Domains   func() []string                   // every domain that calls are recorded in; the broker's own is added

	Auth    *Authenticator
	Stream  http.Handler // serves /v1/stream, and authenticates by itself
	Metrics http.Handler
	Ready   []Check // asked in order by /readyz
	Logger  *slog.Logger

	MaxBody int64         // of a request, in bytes
	Timeout time.Duration // of a request, other than the stream
}

func (c *Config) complete() error {
	if c.Broker == nil || c.History == nil || c.Log == nil || c.Sealer == nil || c.Catalogue == nil || c.Policies == nil ||
		c.Domains == nil || c.Auth == nil || c.Stream == nil || c.Metrics == nil || c.Logger == nil {
		return errors.New("broker, history, log, sealer, catalogue, policies, domains, auth, stream, metrics and logger are required")
	}
	if c.MaxBody < 0 || c.Timeout < 0 {
		return errors.New("a limit is negative")
	}
	if c.MaxBody == 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return nil
}
