package export

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/deedbroker/deed/audit"
)

type ocsfFormat struct {
	encoder *json.Encoder
	version string
}

// NewOCSF writes OCSF 1.9 API Activity events, a document a line.
func NewOCSF(w io.Writer, version string) Format {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return &ocsfFormat{encoder, version}
}

// Call is part of [Format].
func (f *ocsfFormat) Call(e *Entry) error {
	if err := f.encoder.Encode(ocsf(e, f.version)); err != nil {
		return fmt.Errorf("write ocsf: %w", err)
	}
	return nil
}

// Close is part of [Format].
func (f *ocsfFormat) Close() error { return nil }

// object is an OCSF object; members without a value are left out.
type object map[string]any

func (o object) set(name string, value any) object {
	switch v := value.(type) {
	case string:
		if v == "" {
			return o
		}
	case []string:
		if len(v) == 0 {
			return o
		}
	case []object:
		if len(v) == 0 {
			return o
		}
	case object:
		if len(v) == 0 {
			return o
		}
	}
	o[name] = value
	return o
}

// The numbers of OCSF that are used.
const (
	ocsfVersion        = "1.9.0"
	ocsfCategory       = 6    // Application Activity
	ocsfClass          = 6003 // API Activity
	ocsfActivityOther  = 99   // a tool call is none of create, read, update, delete
	ocsfSHA256         = 3
	ocsfHex            = 1
	ocsfFlat           = 1
	ocsfAgentOther     = 99
	ocsfActionAllowed  = 1
	ocsfActionDenied   = 2
	ocsfActionOther    = 99
	ocsfSuccess        = 1
	ocsfFailure        = 2
	ocsfStatusUnknown  = 0
	ocsfInformational  = 1
	ocsfLow            = 2
	ocsfMedium         = 3
	ocsfHigh           = 4
	ocsfDispositionOK  = 1
	ocsfBlocked        = 2
	ocsfApproved       = 8
	ocsfDelayed        = 14
	ocsfRejected       = 25
	ocsfOther          = 99
	ocsfTypeOfUserUser = 1
)

func ocsf(e *Entry, version string) object {
	c, r := &e.Call, RowOf(e)
	status, severity := ocsfStatus(r.Outcome)
	action, disposition := ocsfDisposition(e)
	o := object{
		"category_uid": ocsfCategory, "category_name": "Application Activity", "class_uid": ocsfClass, "class_name": "API Activity",
		"activity_id": ocsfActivityOther, "activity_name": "Call Tool", "type_uid": ocsfClass*100 + ocsfActivityOther, "type_name": "API Activity: Call Tool",
		"time": e.Ended().UnixMilli(), "start_time": started(e).UnixMilli(),
		"severity_id": severity, "status_id": status, "action_id": action, "disposition_id": disposition,
		"duration":     int64(c.Outcome.Millis),
		"message":      r.Agents + " called " + r.Tool + " for " + r.Principal + ": " + r.Outcome,
		"metadata":     ocsfMetadata(e, version),
		"actor":        ocsfActor(e),
		"api":          ocsfAPI(e),
		"src_endpoint": object{"name": cmp.Or(c.Intent.Client, first(agents(e)), "agent"), "uid": cmp.Or(first(agents(e)), r.Principal, "agent")},
		"dst_endpoint": object{"svc_name": upstreamOf(r.Tool), "name": upstreamOf(r.Tool)},
		"resources":    []object{{"name": r.Tool, "uid": r.Tool, "type": "tool", "namespace": r.Domain}},
		"unmapped": object{
			"deed.record": e.At.String(), "deed.outcome": r.Outcome, "deed.arguments_sha256": r.Arguments, "deed.output_sha256": r.Output,
			"deed.definition": c.Intent.Definition, "deed.call_digest": c.Intent.Digest, "deed.approvers": r.Approvers,
		},
		"attestation_list": []object{ocsfAttestation(e)},
	}
	if !c.Closing.Time.IsZero() {
		o["end_time"] = c.Closing.Time.UnixMilli()
	}
	o.set("status_code", r.Code).set("status_detail", r.Reason).set("ai_agent", ocsfAgent(e)).set("delegation", ocsfDelegation(e))
	o.set("authorizations", ocsfAuthorizations(decisionOf(e)))
	if id := traceID(c.Opening.Trace); id != "" {
		o["trace"] = object{"uid": id, "span": object{"uid": spanID(c.Opening.Trace), "start_time": started(e).UnixMilli(), "end_time": e.Ended().UnixMilli()}}
	}
	return o
}

func ocsfStatus(outcome string) (status, severity int) {
	switch outcome {
	case outcomeResult:
		return ocsfSuccess, ocsfInformational
	case outcomeUnknown:
		return ocsfOther, ocsfHigh
	case outcomeDenied:
		return ocsfFailure, ocsfMedium
	case outcomeFailed, outcomeExpired, outcomeCancelled:
		return ocsfFailure, ocsfLow
	default:
		return ocsfStatusUnknown, ocsfInformational
	}
}

func ocsfDisposition(e *Entry) (action, disposition int) {
	switch {
	case e.Call.Closing.Type == audit.CallDenied && e.Call.Outcome.By != nil:
		return ocsfActionDenied, ocsfRejected
	case e.Call.Closing.Type == audit.CallDenied:
		return ocsfActionDenied, ocsfBlocked
	case len(e.Call.Release.Approvals) > 0:
		return ocsfActionAllowed, ocsfApproved
	case decisionOf(e).Effect == audit.Hold:
		return ocsfActionOther, ocsfDelayed
	default:
		return ocsfActionAllowed, ocsfDispositionOK
	}
}

func ocsfMetadata(e *Entry, version string) object {
	m := object{
		"version": ocsfVersion, "profiles": []string{"ai_operation", "record_integrity", "security_control", "trace"},
		"product": object{"name": "Deed", "vendor_name": "Deed", "version": version},
		"uid":     e.Call.ID, "correlation_uid": e.Call.ID, "sequence": e.At.Index, "log_name": e.At.Log,
		"original_time": e.Ended().UTC().Format(time.RFC3339Nano), "logged_time": e.Ended().UnixMilli(),
	}
	m.set("event_code", string(e.Call.Closing.Type))
	return m.set("tenant_uid", e.Tenant)
}

// ocsfActor is on whose authority the call was made: the person, or an agent on its own.
func ocsfActor(e *Entry) object {
	id := e.Call.Intent.Identity
	user := object{"uid": cmp.Or(id.Principal, first(agents(e)), "unknown"), "name": cmp.Or(id.Principal, first(agents(e)), "unknown"), "type_id": ocsfTypeOfUserUser}
	if id.Principal == "" {
		user["type_id"], user["type"] = ocsfOther, "Agent"
	}
	var groups []object
	for _, r := range id.Roles {
		groups = append(groups, object{"name": r, "type": "role"})
	}
	user.set("groups", groups)
	a := object{"user": user, "idp": object{"name": id.Issuer, "uid": id.Issuer}}
	a.set("app_uid", first(agents(e))).set("app_name", first(agents(e)))
	session := object{}
	session.set("uid", id.Session).set("credential_uid", id.TokenID)
	if len(session) > 0 {
		session["issuer"], session["expiration_time"] = id.Issuer, id.Expires.UnixMilli()
	}
	return a.set("session", session)
}

func ocsfAgent(e *Entry) object {
	id := first(agents(e))
	if id == "" {
		return nil
	}
	return object{"uid": id, "name": id, "type_id": ocsfAgentOther, "type": "MCP client"}
}

// ocsfDelegation is the authority under which the agent acts: the session at the
// identity provider, or failing that the token.
func ocsfDelegation(e *Entry) object {
	id := e.Call.Intent.Identity
	if len(id.Chain) == 0 || id.Principal == "" {
		return nil
	}
	d := object{"uid": cmp.Or(id.TokenID, id.Token), "issuer_uid": id.Issuer}
	if d["uid"] == "" {
		return nil
	}
	if d["uid"] != id.Session {
		d.set("parent_uid", id.Session)
	}
	return d
}

func ocsfAPI(e *Entry) object {
	c := &e.Call
	_, name, _ := strings.Cut(c.Intent.Tool, ".")
	api := object{
		"operation": cmp.Or(name, c.Intent.Tool, "unknown"), "service": object{"name": cmp.Or(upstreamOf(c.Intent.Tool), "unknown")},
		"request": object{"uid": c.ID},
	}
	api.set("version", c.Intent.Protocol)
	response := object{}
	response.set("message", outcome(e))
	if c.Closing.Type == audit.CallFailed || c.Closing.Type == audit.CallDenied || c.Closing.Type == audit.CallUnknown {
		response.set("error", c.Outcome.Code).set("error_message", c.Outcome.Reason)
	}
	return api.set("response", response)
}

func ocsfAuthorizations(d audit.Decision) []object {
	var list []object
	for _, r := range d.Reasons {
		if r.Policy == "" {
			continue
		}
		p := object{"name": r.Policy, "uid": r.Policy, "is_applied": true}
		p.set("desc", r.Text).set("version", d.PolicySet)
		list = append(list, object{"decision": string(d.Effect), "policy": p})
	}
	return list
}

// ocsfAttestation is the record's leaf in the signed Merkle tree of its log.
func ocsfAttestation(e *Entry) object {
	return object{
		"uid": e.At.String(), "authority_uid": "deed/" + e.Tenant, "chain_uid": "deed/" + e.Tenant + "/" + e.At.Log,
		"fingerprint": object{
			"algorithm_id": ocsfSHA256, "algorithm": "SHA-256", "value": hex.EncodeToString(e.Leaf[:]),
			"encoding_id": ocsfHex, "encoding": "Hex", "serialization_id": ocsfFlat, "serialization": "Flat",
		},
	}
}

func upstreamOf(tool string) string {
	upstream, _, _ := strings.Cut(tool, ".")
	return upstream
}
