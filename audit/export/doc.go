// Package export puts calls into the forms that other systems read: one entry a
// call, made when it ends.
//
//	ocsf   OCSF 1.9 API Activity (class 6003) with the profiles ai_operation,
//	       record_integrity, security_control and trace; a JSON document a line
//	otel   OTLP log records as JSON, a LogsData document a line
//	csv    a table for spreadsheets (RFC 4180)
//	cef    ArcSight Common Event Format, a line an event
//
// Parquet is in a package of its own, for the weight of its library. Events as
// they are stored, CloudEvents 1.0, need no form.
//
// An entry names the record that ended its call and that record's leaf hash, by
// which it can be proved. Arguments and results stay where they are: entries have
// their digests.
package export
