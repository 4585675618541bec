package evidence

import (
	"maps"
	"slices"
)

// control is one requirement of a framework, and what in a pack speaks to it.
type control struct{ id, title, evidence string }

// What speaks to controls, said once.
const (
	identityEvidence  = "Every intent in `logs/*/calls.ndjson` names the issuer, the person, the chain of agents, their roles and the token's digest; no call is recorded without a token that verified."
	leastEvidence     = "`policies/` has what was in force and when; `access.csv` sets what it grants against what was used, per person and agent. Each decision names every policy that determined it."
	denialEvidence    = "Refused calls are records too (`…call.denied.v1`), each with its reasons; `figures.md` counts them."
	oversightEvidence = "Held calls: `…approval.v1` names the person, binds to the digest of the exact arguments, and comes before `…released.v1`. An approval by an agent, or by the person in whose name the call is made, is a finding of `deed verify`."
	logEvidence       = "The log is append-only: a record of each intent before the act and of each outcome after it, sealed by signed checkpoints at most a second apart."
	integrityEvidence = "RFC 6962 Merkle trees and Ed25519 checkpoints in `logs/deed/checkpoints.ndjson`; `deed verify`, or `verify.py`, names each record that was changed, removed, added or moved."
	changeEvidence    = "`…control.policy.v1` and `…control.tool.v1` in `logs/deed/control.ndjson` record each change of policies and of tools' definitions, with the text itself."
	clockEvidence     = "Records carry UTC times with nanoseconds; their order does not rest on clocks but on their place in the tree."
	retentionEvidence = "Records stay when payloads are erased: an erased one is marked in `payloads/`, and its commitment and proof stand."
	unknownEvidence   = "A call whose outcome nobody recorded is closed as *unknown*, and a person's finding (`…reconciled.v1`) follows; `figures.md` counts both."
	supplyEvidence    = "Each tool's definition is pinned by its digest when it is first seen; a changed one is quarantined until it is reviewed, and every intent names the digest it was made for."
	boundsEvidence    = "Policies see the exact arguments and counters over the log; `policies/` has the bounds, and decisions name those that stopped a call."
)

// framework is a set of controls.
type framework struct {
	title    string
	controls []control
}

var frameworks = map[string]framework{
	"soc2": {"SOC 2, Trust Services Criteria (2017, revised points of focus 2022)", []control{
		{"CC6.1", "Logical access security", identityEvidence},
		{"CC6.3", "Access by role, least privilege, segregation of duties", leastEvidence},
		{"CC6.6", "Threats from outside the boundaries", denialEvidence},
		{"CC7.2", "Monitoring for anomalies", logEvidence},
		{"CC7.3", "Evaluation of security events", unknownEvidence},
		{"CC8.1", "Change management", changeEvidence},
		{"PI1.5", "Stored records are complete and protected", integrityEvidence},
	}},
	"iso27001": {"ISO/IEC 27001:2022, Annex A", []control{
		{"5.3", "Segregation of duties", oversightEvidence},
		{"5.15", "Access control", leastEvidence},
		{"5.16", "Identity management", identityEvidence},
		{"5.18", "Access rights, their review", leastEvidence},
		{"5.28", "Collection of evidence", integrityEvidence},
		{"8.15", "Logging", logEvidence},
		{"8.16", "Monitoring activities", denialEvidence},
		{"8.17", "Clock synchronization", clockEvidence},
		{"8.32", "Change management", changeEvidence},
	}},
	"eu-ai-act": {"Regulation (EU) 2024/1689 (AI Act)", []control{
		{"Art. 12", "Record-keeping over the lifetime of the system", logEvidence},
		{"Art. 14", "Human oversight", oversightEvidence},
		{"Art. 15", "Accuracy, robustness and cybersecurity: resilience of records", integrityEvidence},
		{"Art. 19", "Automatically generated logs are kept", retentionEvidence},
		{"Art. 26(5)", "Deployers monitor the operation", denialEvidence},
		{"Art. 26(6)", "Deployers keep logs at least six months", retentionEvidence},
	}},
	"nist-800-53": {"NIST SP 800-53 Rev. 5", []control{
		{"AC-3", "Access enforcement", leastEvidence},
		{"AC-5", "Separation of duties", oversightEvidence},
		{"AC-6", "Least privilege", leastEvidence},
		{"AU-2", "Event logging", logEvidence},
		{"AU-3", "Content of audit records", identityEvidence},
		{"AU-8", "Time stamps", clockEvidence},
		{"AU-9", "Protection of audit information", integrityEvidence},
		{"AU-10", "Non-repudiation", integrityEvidence},
		{"AU-11", "Audit record retention", retentionEvidence},
		{"CM-3", "Configuration change control", changeEvidence},
		{"SI-7", "Software and information integrity", supplyEvidence},
	}},
	"owasp-agentic": {"OWASP Top 10 for Agentic Applications (2026)", []control{
		{"ASI01", "Agent goal hijack", boundsEvidence},
		{"ASI02", "Tool misuse and exploitation", boundsEvidence},
		{"ASI03", "Identity and privilege abuse", identityEvidence},
		{"ASI04", "Agentic supply chain vulnerabilities", supplyEvidence},
		{"ASI08", "Cascading failures", unknownEvidence},
		{"ASI09", "Human-agent trust exploitation", oversightEvidence},
		{"ASI10", "Rogue agents", denialEvidence},
	}},
}

// Frameworks are the names of those that there is a mapping for.
func Frameworks() []string { return slices.Sorted(maps.Keys(frameworks)) }
