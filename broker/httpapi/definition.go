package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deedbroker/deed/broker"
)

// Definition is what an upstream says of a tool, for those who may review it.
type Definition struct {
	Tool       string         `json:"tool"`
	Digest     string         `json:"digest"`            // goes with the review, as what was shown
	Finding    string         `json:"finding,omitempty"` // why the tool is in quarantine
	Definition jsontext.Value `json:"definition"`        // as the upstream gives it now
	Reviewed   jsontext.Value `json:"reviewed,omitempty"`
	Previous   string         `json:"previous,omitempty"` // digest of Reviewed, which is trusted so far
}

// DefinitionReview is a person's yes to a definition.
type DefinitionReview struct {
	Digest string `json:"digest"` // of the definition that the person was shown
}

func definitionOf(r broker.Review) Definition {
	d := Definition{Tool: r.Tool.Name(), Digest: r.Tool.Digest, Finding: r.Tool.Finding, Definition: jsontext.Value(r.Tool.Raw), Previous: r.Digest}
	if r.Reviewed != nil {
		d.Reviewed = jsontext.Value(r.Reviewed)
	}
	return d
}

// showDefinition serves GET /v1/tools/{name}/definition.
func (a *api) showDefinition(w http.ResponseWriter, r *http.Request, v *viewer) error {
	review, err := a.cfg.Broker.Definition(r.Context(), v.id, r.PathValue("name"))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, mediaJSON, definitionOf(review))
	return nil
}

// approveDefinition serves POST /v1/tools/{name}/definition.
func (a *api) approveDefinition(w http.ResponseWriter, r *http.Request, v *viewer) error {
	var body DefinitionReview
	if err := decode(r, &body); err != nil {
		return err
	}
	if err := a.cfg.Broker.ApproveDefinition(r.Context(), v.id, r.PathValue("name"), body.Digest); err != nil {
		return err
	}
	return a.showDefinition(w, r, v)
}
