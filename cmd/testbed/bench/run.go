package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the flags of a run.
type options struct {
	subjects    []string
	connections []int
	rounds      int
	time        time.Duration // of one measurement, unless calls is set
	calls       int           // of one measurement; 0: as many as time allows
	flat        int           // calls of the memory run; 0: compare instead
	dir         string        // for Deed's data
	keep        bool          // Deed's data, when all is done
	profile     string        // for Deed's CPU profile
	pulsar      bool          // compare logs instead
	journals    []bool        // whether Pulsar syncs its journal, each in turn
	kinds       bool          // compare upstreams of each kind, direct and through Deed, instead
	viewers     int           // of the stream: compare calls with and without them instead
	rate        int           // of calls a second, beside viewers
	search      bool          // make a history, search it and verify it, instead
	reuse       string        // beside search: the directory of an earlier run's, which is searched again
	proof       bool          // beside search: verify it too
	json        bool
	child       []string // starts this program as a subject; the name follows
}

// Run is the bench verb: it parses args, measures, and writes a table or JSON to
// stdout and its progress to stderr.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 2 && args[0] == "subject" {
		return runSubject(ctx, args[1], os.Stdin, stdout)
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	o.child = []string{exe, "bench", "subject"}
	if o.pulsar {
		if err := o.onPulsar(ctx, stdout, stderr); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return nil
	}
	if o.kinds {
		if err := o.ofKinds(ctx, stdout, stderr); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return nil
	}
	if o.search {
		if err := o.searched(ctx, stdout, stderr); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return nil
	}
	if o.viewers > 0 {
		if err := o.watched(ctx, stdout, stderr); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		return nil
	}
	if err := o.run(ctx, stdout, stderr); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

func parseOptions(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	subjects := f.String("subjects", strings.Join(subjectNames(), ","), "what is measured")
	connections := f.String("connections", "1,16,64", "numbers of connections")
	f.IntVar(&o.rounds, "rounds", 3, "how often each measurement is repeated")
	f.DurationVar(&o.time, "time", 2*time.Second, "how long one measurement takes")
	f.IntVar(&o.calls, "calls", 0, "how many calls one measurement makes, instead of -time")
	f.IntVar(&o.flat, "flat", 0, "make so many calls (such as 100000) to each subject and show its memory, instead of comparing")
	f.StringVar(&o.dir, "dir", "", "where Deed keeps its data: a disk whose fsync counts (default: a temporary directory)")
	f.BoolVar(&o.keep, "keep", false, "leave Deed's data there, for deed verify and deed history, and say where")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile of Deed to this file, for go tool pprof")
	f.BoolVar(&o.pulsar, "pulsar", false, "compare the log on Pulsar with the embedded one, and with Pulsar alone, instead")
	journals := f.String("journal-sync", "true,false", "beside -pulsar, whether it syncs its journal")
	f.BoolVar(&o.kinds, "kinds", false, "compare upstreams of each kind, called directly and through Deed, instead")
	f.IntVar(&o.viewers, "viewers", 0, "have so many (such as 1000) watch the live stream, and compare calls with and without them, instead")
	f.IntVar(&o.rate, "rate", 250, "calls a second beside -viewers; each is two events")
	f.BoolVar(&o.search, "search", false, "make a history of -calls calls of many kinds (20000), search it in many ways and verify it, instead")
	f.StringVar(&o.reuse, "reuse", "", "beside -search, the `directory` that an earlier -search -keep left, instead of making another")
	f.BoolVar(&o.proof, "proof", true, "beside -search, verify the history too")
	f.BoolVar(&o.json, "json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.time <= 0 || o.calls < 0 || o.flat < 0 || o.viewers < 0 || o.viewers > maxWatchers || o.rate < 1 {
		return nil, errors.New("wrong arguments; see bench -h")
	}
	o.subjects = strings.Split(*subjects, ",")
	for _, name := range o.subjects {
		if !slices.Contains(subjectNames(), name) {
			return nil, fmt.Errorf("unknown subject %q; known are %s", name, strings.Join(subjectNames(), ", "))
		}
	}
	for text := range strings.SplitSeq(*journals, ",") {
		journalSync, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		o.journals = append(o.journals, journalSync)
	}
	for text := range strings.SplitSeq(*connections, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a number of connections", text)
		}
		o.connections = append(o.connections, n)
	}
	return o, nil
}

func (o *options) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "deed-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.tidy(dir, stderr)) }()

	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, name := range o.subjects {
		started := time.Now()
		s, err := o.startSubject(ctx, name, dir)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		subjects = append(subjects, s)
		if _, err := fmt.Fprintf(stderr, "bench: %s is up after %v\n", name, time.Since(started).Round(10*time.Millisecond)); err != nil {
			return err
		}
	}
	if o.flat > 0 {
		return o.memory(ctx, subjects, stdout)
	}
	load, err := loadAverage()
	if err != nil {
		return err
	}
	report, err := o.compare(ctx, subjects, stderr)
	if err != nil {
		return err
	}
	report.Load = load
	if report.FsyncMillis, err = fsyncMillis(dir); err != nil {
		return err
	}
	report.judge()
	return report.write(stdout, o.json)
}

// tidy removes what was written, or says where it is.
func (o *options) tidy(dir string, stderr io.Writer) error {
	if !o.keep {
		return os.RemoveAll(dir)
	}
	_, err := fmt.Fprintf(stderr, "bench: Deed's configuration and data are in %s\n", dir)
	return err
}

// compare measures every subject in every situation, in turns.
func (o *options) compare(ctx context.Context, subjects []*subject, stderr io.Writer) (*report, error) {
	r, totals := newReport(), map[situation]*total{}
	var order []situation
	for round := range o.rounds {
		if _, err := fmt.Fprintf(stderr, "bench: round %d of %d\n", round+1, o.rounds); err != nil {
			return nil, err
		}
		for _, generation := range generations() {
			for _, connections := range o.connections {
				for i := range subjects {
					s := subjects[(i+round)%len(subjects)]
					at := situation{Generation: generation.version, Connections: connections, Subject: s.name}
					if totals[at] == nil {
						totals[at] = &total{}
						order = append(order, at)
					}
					if err := totals[at].measure(ctx, s, load{generation, connections, o.time, o.calls}); err != nil {
						return nil, fmt.Errorf("measure %s, %s, %d connections: %w", s.name, generation.version, connections, err)
					}
				}
			}
		}
	}
	for _, at := range order {
		r.Cells = append(r.Cells, totals[at].cell(at))
	}
	r.compareTo(baseline)
	return r, nil
}
