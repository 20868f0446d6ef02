{{/* What can be installed and will not do what is meant: one line each, "- …", for NOTES. */}}

{{- define "meshbind.warnings" -}}
{{- include "meshbind.policyWarnings" . -}}
{{- include "meshbind.evidenceWarnings" . -}}
{{- include "meshbind.stateWarnings" . -}}
{{- include "meshbind.meshWarnings" . -}}
{{- end -}}

{{- define "meshbind.policyWarnings" -}}
{{- $policy := .Values.policy -}}
{{- if and (not $policy.inline) (not $policy.existingConfigMap) }}
- The starter policy is in force: it lets everything pass and records what it sees. Write your own into policy.inline.
{{- if and (eq $policy.starter.issuer (include "meshbind.clusterIssuer" .)) (not .Values.kubernetesIssuer.anonymousKeys) }}
- The starter policy asks the cluster for its ServiceAccount keys, which most clusters show to nobody without
  kubernetesIssuer.anonymousKeys: each token is then recorded as keys_unavailable.
{{- end }}
{{- end }}
{{- if $policy.existingConfigMap }}
- The chart cannot look into the ConfigMap {{ $policy.existingConfigMap }}: none of these warnings is about the policy in it.
{{- end }}
{{- range $place, $file := include "meshbind.policyFiles" . | fromYaml }}
{{- if and (not (isAbs $file)) (not (hasKey $policy.files $file)) }}
- policy.inline names the file {{ $file }} ({{ $place }}), and policy.files has none of that name.
{{- end }}
{{- end }}
{{- end -}}

{{/* Place in the inline policy → file that it names. */}}
{{- define "meshbind.policyFiles" -}}
{{- $spec := dig "spec" dict .Values.policy.inline -}}
{{- $files := dict -}}
{{- with dig "revocation" "denylist" "file" "" $spec }}{{ $_ := set $files "spec.revocation.denylist" . }}{{ end -}}
{{- range $name, $issuer := dig "issuers" dict $spec -}}
{{- with dig "keys" "file" "" $issuer }}{{ $_ := set $files (printf "spec.issuers.%s.keys" $name) . }}{{ end -}}
{{- end -}}
{{- range $name, $stream := dig "revocation" "events" dict $spec -}}
{{- with dig "keys" "file" "" $stream }}{{ $_ := set $files (printf "spec.revocation.events.%s.keys" $name) . }}{{ end -}}
{{- end -}}
{{- range $domain, $bundle := dig "peer" "trustBundles" dict $spec -}}
{{- with $bundle.file }}{{ $_ := set $files (printf "spec.peer.trustBundles.%s" $domain) . }}{{ end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{- define "meshbind.evidenceWarnings" -}}
{{- $istio := .Values.istio -}}
{{- $evidence := include "meshbind.evidence" . -}}
{{- if ne $evidence "null" -}}
{{- $evidence = fromJsonArray $evidence -}}
{{- $xfcc := has "xfcc" $evidence -}}
{{- $waypoint := has "waypoint" $evidence -}}
{{- if and $istio.enabled (eq (toJson $evidence) "[\"certificate\"]") (not $istio.envoyFilter.enabled) }}
- The policy takes evidence `certificate` alone, which Istio never sends by itself: nobody would be known. List `xfcc`
  as well, or set istio.envoyFilter.enabled.
{{- end }}
{{- if and $waypoint (not $istio.waypoints) }}
- The policy takes evidence `waypoint`, and istio.waypoints is empty: your waypoints need the annotation
  ambient.istio.io/xfcc-include-client-identity: "true", and nothing but such waypoints may ask this release.
{{- end }}
{{- if and $istio.waypoints (not $waypoint) }}
- istio.waypoints is given, and the policy does not take evidence `waypoint`: behind waypoints nobody would be known.
{{- end }}
{{- if $waypoint }}
{{- range $istio.authorizationPolicies }}
{{- if not .targetRefs }}
- istio.authorizationPolicies: {{ .name }} is for sidecars or gateways, and the policy takes evidence `waypoint`, which
  their clients could write themselves. Serve them with another release.
{{- end }}
{{- end }}
{{- end }}
{{- if and (or .Values.envoyGateway.securityPolicies .Values.gatewayApi.routes) (not $xfcc) }}
- Gateways do not send the certificate, and the policy does not take evidence `xfcc`: thumbprints cannot be compared there.
{{- end }}
{{- end }}
{{- end -}}

{{- define "meshbind.stateWarnings" -}}
{{- $many := gt (int (include "meshbind.replicas" .)) 1 -}}
{{- $shared := ne .Values.redis.existingSecret "" -}}
{{- if and .Values.deployment.enabled $many (not $shared) }}
{{- if include "meshbind.takesProofs" . }}
- The policy takes `dpop` or `wimse` proofs, and {{ include "meshbind.replicas" . }} replicas share no state: each would take a proof once. Set
  redis.existingSecret.
{{- end }}
{{- if .Values.events.enabled }}
- A security event reaches one of {{ include "meshbind.replicas" . }} replicas, which share no state: the others would not know of it. Set
  redis.existingSecret.
{{- end }}
{{- end }}
{{- $events := dig "spec" "revocation" "events" dict .Values.policy.inline -}}
{{- if and $events (not .Values.events.enabled) }}
- The policy names security events, and events.enabled is false: nothing listens for them.
{{- end }}
{{- if and .Values.events.enabled (not .Values.events.existingSecret) }}
- Security events are taken without TLS: something before the port {{ .Values.events.port }} must speak it.
{{- end }}
{{- end -}}

{{- define "meshbind.meshWarnings" -}}
{{- $values := .Values -}}
{{- if and $values.deployment.enabled (lt (int (include "meshbind.replicas" .)) 2) }}
- One replica: while it is moved, everything that asks it is refused.
{{- end }}
{{- if and $values.istio.enabled $values.tls.enabled (not $values.istio.sidecar.enabled) }}
- tls.enabled with Istio: its proxies need a DestinationRule for {{ include "meshbind.host" . }} that speaks that TLS. The
  mesh's own mTLS does the same without it.
{{- end }}
{{- if and $values.istio.envoyFilter.enabled (not $values.istio.authorizationPolicies) }}
- istio.envoyFilter.enabled patches the filter for istio.authorizationPolicies, of which there are none.
{{- end }}
{{- if and $values.envoy.enabled (eq $values.envoy.transport "tcp") (not $values.service.headless.enabled) (gt (int (include "meshbind.replicas" .)) 1) }}
- An Envoy keeps its connection to one replica behind a Service address: set service.headless.enabled to spread checks.
{{- end }}
{{- if and (or $values.envoyGateway.securityPolicies $values.gatewayApi.routes) $values.tls.enabled }}
- tls.enabled with a gateway: it needs a BackendTLSPolicy for the Service {{ include "meshbind.fullname" . }}.
{{- end }}
{{- if and $values.deployment.enabled (not $values.networkPolicy.enabled) (not (and $values.tls.enabled $values.tls.requireClientCertificate)) }}
- Every pod of the cluster can ask meshbind: networkPolicy.enabled, or tls.enabled, narrows that.
{{- end }}
{{- end -}}
