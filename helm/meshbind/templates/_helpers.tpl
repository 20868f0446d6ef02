{{/* Names, labels, the image, and what several templates ask. */}}

{{- define "meshbind.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meshbind.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "meshbind.labels" -}}
{{- include "meshbind.labelsAnd" (list . dict) -}}
{{- end -}}

{{/* Labels of an object with more of its own. The chart's win, as selectors look for them; common ones give way. */}}
{{- define "meshbind.labelsAnd" -}}
{{- $root := first . -}}
{{- $own := include "meshbind.selectorLabels" $root | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $_ := set $own "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- merge $own (last .) $root.Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "meshbind.image" -}}
{{- $image := .Values.image -}}
{{- $name := $image.repository -}}
{{- with $image.registry }}{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}{{- end -}}
{{- $tag := default .Chart.AppVersion $image.tag -}}
{{- if $image.digest -}}
{{- if $image.tag }}{{- $name = printf "%s:%s" $name $image.tag -}}{{- end -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end -}}

{{- define "meshbind.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "meshbind.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "meshbind.host" -}}
{{- printf "%s.%s.svc.cluster.local" (include "meshbind.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "meshbind.policyConfigMap" -}}
{{- default (printf "%s-policy" (include "meshbind.fullname" .)) .Values.policy.existingConfigMap -}}
{{- end -}}

{{- define "meshbind.tlsSecret" -}}
{{- default (printf "%s-tls" (include "meshbind.fullname" .)) .Values.tls.existingSecret -}}
{{- end -}}

{{/* The most replicas that there can be. */}}
{{- define "meshbind.replicas" -}}
{{- if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}{{ else }}{{ .Values.replicaCount }}{{ end -}}
{{- end -}}

{{- define "meshbind.provider" -}}
{{- default (include "meshbind.fullname" .) .Values.istio.provider -}}
{{- end -}}

{{/* Host and port that Istio asks. */}}
{{- define "meshbind.providerService" -}}
{{- if .Values.istio.sidecar.enabled }}{{ .Values.istio.sidecar.host }}{{ else }}{{ include "meshbind.host" . }}{{ end -}}
{{- end -}}
{{- define "meshbind.providerPort" -}}
{{- if .Values.istio.sidecar.enabled }}{{ .Values.server.grpcPort }}{{ else }}{{ .Values.service.port }}{{ end -}}
{{- end -}}

{{/* The entry for `meshConfig.extensionProviders`. */}}
{{- define "meshbind.extensionProvider" -}}
- name: {{ include "meshbind.provider" . | quote }}
  envoyExtAuthzGrpc:
    service: {{ include "meshbind.providerService" . }}
    port: {{ include "meshbind.providerPort" . }}
    timeout: {{ .Values.istio.timeout }}     # Istio's default is 600s
    failOpen: false
{{- end -}}

{{/* The evidence of the policy that the chart knows, as JSON; `null` where it cannot know it. */}}
{{- define "meshbind.evidence" -}}
{{- if .Values.policy.existingConfigMap -}}
null
{{- else -}}
{{- $policy := include "meshbind.policy" . | fromYaml -}}
{{- dig "spec" "peer" "evidence" (list "certificate") $policy | toJson -}}
{{- end -}}
{{- end -}}

{{/* "true" where a route of the policy takes proofs, which replicas must share to take each once. */}}
{{- define "meshbind.takesProofs" -}}
{{- $policy := .Values.policy.inline -}}
{{- range (dig "spec" "routes" list $policy) -}}
{{- if kindIs "map" .require -}}
{{- range (dig "bindings" list .require) -}}
{{- if has . (list "dpop" "wimse") }}true{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
