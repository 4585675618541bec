package verify

import (
	"runtime"
	"sync"

	"github.com/deedbroker/deed/audit"
	"github.com/deedbroker/deed/audit/statement"
)

// stated is a statement that is to be checked by itself: its signature costs more than all
// else about a record, and says nothing about any other.
type stated struct {
	at   audit.Position
	e    audit.Event // without its data
	want statement.Claims
}

// jobBatch is how many statements go to a worker at once, which opens them together.
const jobBatch = 64

// workers check statements beside the reading, on all cores.
type workers struct {
	v     *verifier
	open  *statement.Reader
	jobs  chan []stated
	batch []stated
	done  sync.WaitGroup

	mu    sync.Mutex
	found []Finding // guarded by mu
	good  int64     // guarded by mu
}

func newWorkers(v *verifier) *workers {
	n := runtime.GOMAXPROCS(0)
	w := &workers{v: v, open: statement.NewReader(v.statements.keys), jobs: make(chan []stated, 2*n)}
	for range n {
		w.done.Go(w.work)
	}
	return w
}

// add has a statement checked. The keys are known by then: they stand in control, which
// is read first.
func (w *workers) add(s stated) {
	s.e.Data = nil
	if w.batch = append(w.batch, s); len(w.batch) == jobBatch {
		w.jobs <- w.batch
		w.batch = nil
	}
}

func (w *workers) work() {
	for batch := range w.jobs {
		var good int64
		var found []Finding
		tokens := make([]string, len(batch))
		for i, s := range batch {
			tokens[i] = s.e.Statement
		}
		for i, o := range w.open.Open(tokens) {
			if f, bad := w.v.checkStatement(batch[i], o); bad {
				found = append(found, f)
			} else {
				good++
			}
		}
		w.mu.Lock()
		w.good += good
		w.found = append(w.found, found...)
		w.mu.Unlock()
	}
}

// end waits for all of them, and reports.
func (w *workers) end() {
	w.jobs <- w.batch
	close(w.jobs)
	w.done.Wait()
	w.v.report.Statements += w.good
	for _, f := range w.found {
		w.v.find(f)
	}
}
