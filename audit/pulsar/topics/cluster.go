package topics

import "strings"

// cluster looks at the settings of brokers without which policies mean nothing.
func (d *differ) cluster(settings map[string]string) {
	at := "the cluster"
	note := func(text string) { d.plan.Notes = append(d.plan.Notes, Finding{at, text}) }
	strange := func(text string) { d.plan.Strange = append(d.plan.Strange, Finding{at, text}) }
	if settings == nil {
		note("its settings are not shown to this role: that authorization is on, and who its superusers are, was not checked")
		return
	}
	if settings["authenticationEnabled"] == "false" || settings["authorizationEnabled"] == "false" {
		strange("authorizationEnabled is off: whoever reaches it may read and write everything, whatever is granted")
	}
	if settings["topicLevelPoliciesEnabled"] == "false" {
		strange("topicLevelPoliciesEnabled is off: payloads can't have a retention of their own")
	}
	if settings["anonymousUserRole"] != "" {
		strange("anonymousUserRole is " + settings["anonymousUserRole"] + ": whoever brings no token has that role")
	}
	for _, interceptor := range []string{"AppendIndexMetadataInterceptor", "AppendBrokerTimestampMetadataInterceptor"} {
		if configured, shown := settings["brokerEntryMetadataInterceptors"]; shown && !strings.Contains(configured, interceptor) {
			strange("brokerEntryMetadataInterceptors lacks " + interceptor + ": readers can't tell a missing message by its index")
		}
	}
	if superusers := strings.Trim(settings["superUserRoles"], "[] "); superusers != "" {
		note("superusers read and write everything: " + superusers)
	}
}
