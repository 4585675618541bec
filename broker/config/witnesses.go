package config

import (
	"time"

	"github.com/deedbroker/deed/audit/seal"
	"github.com/deedbroker/deed/audit/witness"
)

// maxWitnesses bounds how many are asked.
const maxWitnesses = 16

// Witnesses are those who sign the log's checkpoints beside the broker, so that no two
// histories can be shown (C2SP tlog-witness). Nothing waits for them.
type Witnesses struct {
	Servers []Witness `yaml:"servers"`
	// Quorum is how many of them have to sign before a checkpoint is kept as witnessed;
	// left out, all.
	Quorum int      `yaml:"quorum"`
	Every  Duration `yaml:"every"` // between two times that they are asked
	Wait   Duration `yaml:"wait"`  // for an answer
}

// Witness is one of them.
type Witness struct {
	URL string `yaml:"url"` // add-checkpoint stands below it
	Key string `yaml:"key"` // as deed witness prints it: name+hash+base64, of type 4
}

func (w *Witnesses) setDefaults() {
	w.Quorum, w.Every, w.Wait = unsaidCount, Duration{witness.DefaultEvery}, Duration{witness.DefaultWait}
}

func (v *validation) witnesses(w *Witnesses) {
	if len(w.Servers) == 0 {
		return
	}
	if len(w.Servers) > maxWitnesses {
		v.fail("witnesses.servers", "are %d; %d at most", len(w.Servers), maxWitnesses)
	}
	keys := map[string]bool{}
	for i, server := range w.Servers {
		key := child(item("witnesses.servers", i), "key")
		v.webURL(child(item("witnesses.servers", i), "url"), server.URL)
		parsed, err := seal.ParseWitnessKey(server.Key)
		switch {
		case err != nil:
			v.fail(key, "is not the key of a witness, %v; it looks like \"witness.example.org+1f8b2c3d+BA…\"", err)
		case keys[parsed.String()]:
			v.fail(key, "is another server's too; each counts once")
		}
		keys[parsed.String()] = true
	}
	if w.Quorum == unsaidCount {
		w.Quorum = len(w.Servers)
	}
	if w.Quorum < 1 || w.Quorum > len(w.Servers) {
		v.fail("witnesses.quorum", "must be from 1 to %d, the number of servers", len(w.Servers))
	}
	if w.Every.Duration < time.Second {
		v.fail("witnesses.every", "must be a second at least")
	}
	v.positive("witnesses.wait", w.Wait)
}
