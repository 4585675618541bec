package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/deedbroker/deed/audit/pulsar/admin"
	"github.com/deedbroker/deed/audit/pulsar/topics"
	"github.com/deedbroker/deed/cmd/provide"
	"github.com/deedbroker/deed/cmd/provide/pulsar"
	"github.com/deedbroker/deed/cmd/testbed/provision"
)

// What the log on Pulsar is meant to cost: a call is two durable records.
const (
	targetOfHalf    = 0.80 // of half the rate at which Pulsar takes messages one by one, at targetLog connections
	targetLog       = 64
	targetOwnMillis = 1.0 // of the median, beside the proxy's and two acknowledgements
	eventBytes      = 1200
	pulsarTenant    = "bench"
	pulsarRole      = "deed"
)

// The rows of the comparison.
const (
	rowRaw      = "Pulsar, raw"
	rowProxy    = "proxy"
	rowEmbedded = "deed, embedded"
	rowPulsar   = "deed, Pulsar"
)

// pulsarRow is what was measured with one setting, at one number of connections.
type pulsarRow struct {
	JournalSync    bool    `json:"journal_sync"`
	What           string  `json:"what"`
	Connections    int     `json:"connections"`
	CallsPerSecond float64 `json:"per_second"`
	P50Millis      float64 `json:"p50_ms"`
	P99Millis      float64 `json:"p99_ms"`
	CPU            bill    `json:"cpu"` // for one call
}

// tally is what all measurements of one row found together.
type tally struct {
	total

	used  accounts
	calls int // that were made at that cost, with those that warm up
}

// onPulsar compares Deed on Pulsar with Deed on its embedded log, with a bare proxy, and
// with Pulsar alone, with its journal synced and not.
func (o *options) onPulsar(ctx context.Context, stdout, stderr io.Writer) error {
	var rows []pulsarRow
	for _, journalSync := range o.journals {
		more, err := o.withJournal(ctx, journalSync, stderr)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	load, err := loadAverage()
	if err != nil {
		return err
	}
	if o.json {
		return json.NewEncoder(stdout).Encode(map[string]any{"rows": rows, "load_average": load})
	}
	return writeRows(stdout, rows, load)
}

func (o *options) withJournal(ctx context.Context, journalSync bool, stderr io.Writer) (_ []pulsarRow, err error) {
	dir, err := os.MkdirTemp(o.dir, "deed-bench-pulsar-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := startPulsar(ctx, filepath.Join(dir, "pulsar"), journalSync)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Kill(context.WithoutCancel(ctx))) }()
	token, err := prepareTenant(ctx, server, dir)
	if err != nil {
		return nil, err
	}
	subjects, stop, err := o.logSubjects(ctx, server, journalSync, token, dir)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return nil, err
	}
	pid, err := server.Pid()
	if err != nil {
		return nil, err
	}
	m := &logMeter{options: o, server: server, pid: pid, token: token, rows: map[string]*tally{}}
	for round := range o.rounds {
		if _, err := fmt.Fprintf(stderr, "bench: journal synced %t, round %d of %d\n", journalSync, round+1, o.rounds); err != nil {
			return nil, err
		}
		for _, n := range o.connections {
			if err := m.raw(ctx, n); err != nil {
				return nil, err
			}
			for _, s := range subjects {
				if err := m.subject(ctx, s, n); err != nil {
					return nil, fmt.Errorf("measure %s at %d: %w", s.name, n, err)
				}
			}
		}
	}
	var rows []pulsarRow
	for _, n := range o.connections {
		for _, what := range []string{rowRaw, rowProxy, rowEmbedded, rowPulsar} {
			t := m.row(what, n)
			c := t.cell(situation{})
			rows = append(rows, pulsarRow{journalSync, what, n, c.CallsPerSecond, c.P50Millis, c.P99Millis, t.used.each(t.calls)})
		}
	}
	return rows, nil
}

func startPulsar(ctx context.Context, dir string, journalSync bool) (*pulsar.Standalone, error) {
	cache, err := provision.Dir()
	if err != nil {
		return nil, err
	}
	d, err := pulsar.Install(ctx, &provide.Cache{Dir: cache})
	if err != nil {
		return nil, err
	}
	s, err := pulsar.NewStandalone(ctx, d, dir, map[string]string{"journalSyncData": strconv.FormatBool(journalSync)})
	if err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// prepareTenant does what `deed topics apply` does, makes a topic for the raw messages,
// and returns the file with the brokers' token.
func prepareTenant(ctx context.Context, s *pulsar.Standalone, dir string) (tokenFile string, err error) {
	superuser := func() (string, error) {
		text, err := os.ReadFile(s.Keys.Path(pulsar.SuperuserToken))
		return strings.TrimSpace(string(text)), err
	}
	cluster, err := admin.New(admin.Options{URL: s.Admin(), Token: superuser, Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		return "", err
	}
	const life = 24 * time.Hour
	plan, _, err := topics.Look(ctx, cluster, topics.Desire(topics.Spec{
		Tenant: pulsarTenant, Role: pulsarRole, Backlog: 10 << 30,
		Domains: []topics.Domain{{Name: "bench", Retention: life, PayloadRetention: life, Partitions: 1}},
	}))
	if err != nil {
		return "", err
	}
	if err := topics.Apply(ctx, cluster, plan, false, func(topics.Step) {}); err != nil {
		return "", err
	}
	if err := makeTopic(ctx, s, superuser, pulsarTenant+"/bench/raw"); err != nil {
		return "", err
	}
	token, err := s.Keys.Token(pulsarRole, life)
	if err != nil {
		return "", err
	}
	tokenFile = filepath.Join(dir, "token")
	return tokenFile, os.WriteFile(tokenFile, []byte(token), 0o600)
}

func makeTopic(ctx context.Context, s *pulsar.Standalone, token func() (string, error), topic string) error {
	bearer, err := token()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, s.Admin()+"/admin/v2/persistent/"+topic, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	response, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil || response.StatusCode >= http.StatusMultipleChoices {
		return errors.Join(err, fmt.Errorf("make topic %s: %s", topic, response.Status))
	}
	return nil
}

// logSubjects are the proxy, and two brokers with different logs.
func (o *options) logSubjects(ctx context.Context, s *pulsar.Standalone, journalSync bool, token, dir string) (subjects []*subject, stop func() error, err error) {
	stop = func() error {
		var errs []error
		for _, s := range subjects {
			errs = append(errs, s.stop())
		}
		return errors.Join(errs...)
	}
	echo := append(slices.Clip(o.child), subjectEcho)
	onPulsar := map[string]any{"pulsar": map[string]any{"url": s.URL(), "admin": s.Admin(), "auth": map[string]any{"token_file": token}}}
	for _, start := range []func() (*subject, error){
		func() (*subject, error) { return startChild(ctx, subjectProxy, o.child) },
		func() (*subject, error) {
			return o.broker(ctx, rowEmbedded, deedConfig{dir: filepath.Join(dir, "embedded"), echo: echo})
		},
		func() (*subject, error) {
			return o.broker(ctx, rowPulsar, deedConfig{dir: filepath.Join(dir, "shared"), echo: echo, log: onPulsar, tenant: pulsarTenant, profile: o.journalProfile(journalSync)})
		},
	} {
		made, err := start()
		if err != nil {
			return subjects, stop, err
		}
		subjects = append(subjects, made)
	}
	return subjects, stop, nil
}

// journalProfile is where the broker on Pulsar writes its CPU profile: a file for each
// setting of the journal that is measured.
func (o *options) journalProfile(journalSync bool) string {
	if o.profile == "" || len(o.journals) == 1 {
		return o.profile
	}
	return o.profile + "." + strconv.FormatBool(journalSync)
}

func (o *options) broker(ctx context.Context, name string, c deedConfig) (*subject, error) {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	s, err := startDeed(ctx, c)
	if err == nil {
		s.name = name
	}
	return s, err
}

func writeRows(w io.Writer, rows []pulsarRow, load float64) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	p := &printer{w: table}
	p.line("journal synced\tconnections\twhat\ta second\tp50 ms\tp99 ms\tcpu ms\tits tool's\tPulsar's\tthe caller's\t")
	for _, r := range rows {
		p.line("%t\t%d\t%s\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t", r.JournalSync, r.Connections, r.What,
			r.CallsPerSecond, r.P50Millis, r.P99Millis, r.CPU.Subject, r.CPU.Tool, r.CPU.Pulsar, r.CPU.Load)
	}
	if p.err == nil {
		p.err = table.Flush()
	}
	p.w = w
	p.line("\nload average %.1f after; raw: messages of %d bytes, one after the other in each connection", load, eventBytes)
	judgeRows(p, rows)
	return p.err
}

// judgeRows compares Deed on Pulsar with its targets.
func judgeRows(p *printer, rows []pulsarRow) {
	find := func(r pulsarRow, what string) pulsarRow {
		i := slices.IndexFunc(rows, func(o pulsarRow) bool {
			return o.JournalSync == r.JournalSync && o.Connections == r.Connections && o.What == what
		})
		return rows[i]
	}
	word := func(met bool) string {
		if met {
			return "met"
		}
		return "MISSED"
	}
	for _, r := range rows {
		if r.What != rowPulsar {
			continue
		}
		raw, proxy := find(r, rowRaw), find(r, rowProxy)
		if r.Connections == targetLog {
			of := ratio(r.CallsPerSecond, raw.CallsPerSecond/2)
			p.line("%-6s journal synced %t, %d: calls are %.2f of half the raw rate, target %.2f", word(of >= targetOfHalf), r.JournalSync, r.Connections, of, targetOfHalf)
			p.line("       journal synced %t, %d: at %.2f ms CPU a call, all in all, %d CPUs allow %.0f calls a second; the target is %.0f", r.JournalSync, r.Connections,
				r.CPU.total(), runtime.NumCPU(), 1000*float64(runtime.NumCPU())/r.CPU.total(), targetOfHalf*raw.CallsPerSecond/2)
		}
		own := r.P50Millis - proxy.P50Millis - 2*raw.P50Millis
		p.line("%-6s journal synced %t, %d: own share of p50 beside the proxy's and two acknowledgements is %.2f ms, target %.2f", word(own <= targetOwnMillis), r.JournalSync, r.Connections, own, targetOwnMillis)
	}
}
