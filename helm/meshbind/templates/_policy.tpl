{{/* The policy that is rendered: the inline one, or the starter. */}}

{{- define "meshbind.policy" -}}
{{- if .Values.policy.inline -}}
{{- toYaml .Values.policy.inline -}}
{{- else -}}
{{- include "meshbind.starterPolicy" . -}}
{{- end -}}
{{- end -}}

{{- define "meshbind.clusterIssuer" -}}
https://kubernetes.default.svc.cluster.local
{{- end -}}

{{- define "meshbind.starterEvidence" -}}
{{- if .Values.policy.starter.evidence -}}
{{- toJson .Values.policy.starter.evidence -}}
{{- else if .Values.istio.waypoints -}}
["waypoint"]
{{- else if or .Values.istio.enabled .Values.envoyGateway.securityPolicies .Values.gatewayApi.routes -}}
["certificate", "xfcc"]
{{- else -}}
["certificate"]
{{- end -}}
{{- end -}}

{{/* Watches and blocks nothing: mode audit, for every route. */}}
{{- define "meshbind.starterPolicy" -}}
{{- $starter := .Values.policy.starter -}}
{{- $own := eq $starter.issuer (include "meshbind.clusterIssuer" .) -}}
# The chart's starter policy: everything passes, and what would have been refused is recorded. Put your own in
# policy.inline or policy.existingConfigMap.
apiVersion: meshbind/v1alpha1
kind: BindingPolicy
metadata: { name: starter }
spec:
  mode: audit
  trustDomains: [{{ $starter.trustDomain | quote }}]
  peer:
    evidence: {{ include "meshbind.starterEvidence" . }}
  issuers:
    starter:
      issuer: {{ $starter.issuer | quote }}
      audiences: {{ toJson $starter.audiences }}
      {{- if $starter.keysUrl }}
      keys: { url: {{ $starter.keysUrl | quote }} }
      {{- else if $own }}
      keys: { url: {{ printf "%s/openid/v1/jwks" $starter.issuer | quote }}, caFile: /etc/meshbind/cluster/ca.crt }
      {{- else }}
      keys: { discovery: true }
      {{- end }}
      {{- if $own }}
      identity: { kubernetes: {{ $starter.trustDomain | quote }} }
      {{- else }}
      identity: { claim: {{ $starter.identityClaim | quote }} }
      {{- end }}
  routes:
    - name: all
      require: { issuers: [starter], bindings: {{ if has (include "meshbind.starterEvidence" . | fromJsonArray | first) (list "principal" "waypoint") }}[spiffe]{{ else }}["x5t#S256", spiffe]{{ end }} }
{{- end -}}
