{{/* Values that cannot stand together: the template ends with a sentence that names the value. */}}

{{- define "meshbind.checkValues" -}}
{{- $values := .Values -}}
{{- if not $values.image.repository -}}
{{- fail "image.repository is empty: build the image with `make image`, push it to your registry, and name it here (charts of a release name theirs)" -}}
{{- end -}}
{{- if and $values.policy.inline $values.policy.existingConfigMap -}}
{{- fail "policy.inline and policy.existingConfigMap are both given: keep one" -}}
{{- end -}}
{{- if and $values.policy.files $values.policy.existingConfigMap -}}
{{- fail "policy.files is given beside policy.existingConfigMap: put the files into that ConfigMap" -}}
{{- end -}}
{{- if and $values.policy.namespaces $values.policy.existingConfigMap -}}
{{- fail "policy.namespaces is given beside policy.existingConfigMap: copy that ConfigMap into the namespaces yourself" -}}
{{- end -}}
{{- if hasKey $values.policy.files $values.policy.key -}}
{{- fail (printf "policy.files has the name of the policy itself, %s" $values.policy.key) -}}
{{- end -}}
{{- $evidence := $values.policy.starter.evidence -}}
{{- if or (and (has "waypoint" $evidence) (gt (len $evidence) 1)) (ne (len $evidence) (len (uniq $evidence))) -}}
{{- fail "policy.starter.evidence: each stands there once, and `waypoint` alone" -}}
{{- end -}}
{{- include "meshbind.checkTls" . -}}
{{- include "meshbind.checkScale" . -}}
{{- include "meshbind.checkTimes" . -}}
{{- include "meshbind.checkIstio" . -}}
{{- end -}}

{{- define "meshbind.checkTls" -}}
{{- $tls := .Values.tls -}}
{{- if and $tls.enabled (not $tls.existingSecret) (not $tls.certManager.enabled) -}}
{{- fail "tls.enabled needs tls.existingSecret or tls.certManager.enabled" -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not $tls.enabled) -}}
{{- fail "tls.certManager.enabled is without effect while tls.enabled is false" -}}
{{- end -}}
{{- if and $tls.certManager.enabled (not (dig "name" "" $tls.certManager.issuerRef)) -}}
{{- fail "tls.certManager.issuerRef.name is empty: name the Issuer or ClusterIssuer" -}}
{{- end -}}
{{- end -}}

{{- define "meshbind.checkScale" -}}
{{- $scaling := .Values.autoscaling -}}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas is %v, more than autoscaling.maxReplicas, %v" $scaling.minReplicas $scaling.maxReplicas) -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor.enabled and metrics.podMonitor.enabled are both true: every replica would be counted twice" -}}
{{- end -}}
{{- if eq (int .Values.server.grpcPort) (int .Values.server.probePort) -}}
{{- fail "server.grpcPort and server.probePort are the same" -}}
{{- end -}}
{{- end -}}

{{/* What the schema takes and the command line does not, which would end every start. */}}
{{- define "meshbind.checkTimes" -}}
{{- range $key := list "deadline" "maxConnectionAge" -}}
{{- $given := index $.Values.server $key -}}
{{- if not (regexMatch "^(off|[1-9][0-9]{0,5}(ms|s|m))$" $given) -}}
{{- fail (printf "server.%s is %s, which meshbind serve does not take: write it like 150ms, 10s or 1m" $key $given) -}}
{{- end -}}
{{- end -}}
{{- if lt (int .Values.server.drainSeconds) 1 -}}
{{- fail "server.drainSeconds is 0, which meshbind serve does not take: give 1 or more" -}}
{{- end -}}
{{- end -}}

{{- define "meshbind.checkIstio" -}}
{{- $istio := .Values.istio -}}
{{- if and (or $istio.authorizationPolicies $istio.waypoints $istio.sidecar.enabled $istio.envoyFilter.enabled) (not $istio.enabled) -}}
{{- fail "istio.enabled is false, and values below istio are given: set istio.enabled to true" -}}
{{- end -}}
{{- range $policy := $istio.authorizationPolicies -}}
{{- if and $policy.selector $policy.targetRefs -}}
{{- fail (printf "istio.authorizationPolicies: %s has both selector and targetRefs: Istio takes one" $policy.name) -}}
{{- end -}}
{{- if and (eq $policy.namespace $.Release.Namespace) $.Values.deployment.enabled (not $policy.selector) (not $policy.targetRefs) -}}
{{- fail (printf "istio.authorizationPolicies: %s chooses every workload of namespace %s, meshbind among them, which would have to ask itself: give it a selector" $policy.name $policy.namespace) -}}
{{- end -}}
{{- end -}}
{{- range $policy := $istio.authorizationPolicies -}}
{{- if and (eq $policy.namespace "istio-system") (not $policy.selector) (not $policy.targetRefs) -}}
{{- fail (printf "istio.authorizationPolicies: %s chooses every workload of the mesh, meshbind among them, as istio-system is its root namespace: give it a selector" $policy.name) -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.deployment.enabled) (not $istio.sidecar.enabled) (not .Values.policy.namespaces) -}}
{{- fail "deployment.enabled is false, and there is nothing else to install: give policy.namespaces or istio.sidecar.enabled" -}}
{{- end -}}
{{- $tcp := and .Values.envoy.enabled (eq .Values.envoy.transport "tcp") -}}
{{- $provided := and $istio.authorizationPolicies (not $istio.sidecar.enabled) -}}
{{- if and (not .Values.deployment.enabled) (or .Values.envoyGateway.securityPolicies .Values.gatewayApi.routes $tcp $provided) -}}
{{- fail "deployment.enabled is false, and what is rendered would ask its Service, which is not there" -}}
{{- end -}}
{{- end -}}
