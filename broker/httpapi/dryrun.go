package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// DryRun is the body of POST /v1/calls/{id}/dry-run.
type DryRun struct {
	Digest string `json:"digest"` // of the call as the viewer was shown it
}

// Forecast is what a dry run answered: the upstream's own words, which nobody has verified.
type Forecast struct {
	CallID    string         `json:"call_id"`
	Tool      string         `json:"tool"`      // that was called
	Arguments jsontext.Value `json:"arguments"` // with these
	Text      string         `json:"text"`
	Truncated bool           `json:"truncated"`         // there is more than the text
	Failed    bool           `json:"failed"`            // the tool says that it did not work
	Against   *string        `json:"against,omitempty"` // what would be there in place of the text
}

// runDry serves POST /v1/calls/{id}/dry-run.
func (a *api) runDry(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body DryRun
	if err := decode(r, &body); err != nil {
		return err
	}
	id := r.PathValue("id")
	if !isCallID(id) {
		return notFound(noCall)
	}
	f, err := a.cfg.Broker.Forecast(r.Context(), v.id, id, body.Digest)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, Forecast{
		CallID: id, Tool: f.Tool, Arguments: jsontext.Value(f.Arguments), Text: f.Text, Truncated: f.Truncated, Failed: f.Failed, Against: f.Against,
	})
	return nil
}
