{{/*
A meshbind beside an Envoy, in the Envoy's own pod. Both templates take the chart's own root and read the values under
`meshbind-sidecar`:

  spec:
    initContainers:
      {{- include "meshbind.sidecar.container" . | nindent 6 }}
      - name: envoy                  # after it, with the volume `meshbind-socket` mounted at /run/meshbind
    volumes:
      {{- include "meshbind.sidecar.volumes" . | nindent 6 }}
*/}}

{{/* A native sidecar: started before the containers after it, and ended after them (Kubernetes 1.29). */}}
{{- define "meshbind.sidecar.container" -}}
{{- $sidecar := index .Values "meshbind-sidecar" -}}
- name: meshbind
  image: {{ required "meshbind-sidecar.image is empty: give the image with its tag or digest" $sidecar.image }}
  imagePullPolicy: {{ $sidecar.imagePullPolicy }}
  restartPolicy: Always
  args:
    - serve
    - --policy=/etc/meshbind/policy/{{ $sidecar.policyKey }}
    - --listen={{ $sidecar.listen }}
    - --probe=0.0.0.0:{{ $sidecar.probePort }}
    - --admin={{ $sidecar.admin }}
    - --deadline={{ $sidecar.deadline }}
    - --decision-log={{ $sidecar.decisionLog }}
    {{- range $sidecar.extraArgs }}
    - {{ . | quote }}
    {{- end }}
  env:
    - name: NODE_OPTIONS
      value: --max-old-space-size-percentage=75 --max-semi-space-size=16
    {{- with $sidecar.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - { name: meshbind-probe, containerPort: {{ $sidecar.probePort }} }
  # The next container starts once meshbind answers; Envoy refuses until it is ready.
  startupProbe:
    httpGet: { path: /livez, port: {{ $sidecar.probePort }} }
    periodSeconds: 1
    failureThreshold: 60
  livenessProbe:
    httpGet: { path: /livez, port: {{ $sidecar.probePort }} }
    periodSeconds: 10
  readinessProbe:
    httpGet: { path: /readyz, port: {{ $sidecar.probePort }} }
    periodSeconds: 5
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: { drop: [ALL] }
    seccompProfile: { type: RuntimeDefault }
  resources:
    {{- toYaml $sidecar.resources | nindent 4 }}
  volumeMounts:
    - { name: meshbind-policy, mountPath: /etc/meshbind/policy, readOnly: true }
    - { name: meshbind-cluster-ca, mountPath: /etc/meshbind/cluster, readOnly: true }
    {{- if hasPrefix "unix:" $sidecar.listen }}
    - { name: meshbind-socket, mountPath: {{ trimPrefix "unix:" $sidecar.listen | dir }} }
    {{- end }}
    {{- with $sidecar.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Never a subPath of the ConfigMap: kubelet does not renew those. */}}
{{- define "meshbind.sidecar.volumes" -}}
{{- $sidecar := index .Values "meshbind-sidecar" -}}
- name: meshbind-policy
  configMap: { name: {{ required "meshbind-sidecar.policyConfigMap is empty: name the ConfigMap that holds the policy" $sidecar.policyConfigMap | quote }} }
# Kubernetes puts it into every namespace; it verifies the API server, which has the ServiceAccount keys.
- name: meshbind-cluster-ca
  configMap: { name: kube-root-ca.crt, optional: true }
{{- if hasPrefix "unix:" $sidecar.listen }}
- name: meshbind-socket
  emptyDir: { medium: Memory, sizeLimit: 1Mi }
{{- end }}
{{- with $sidecar.extraVolumes }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}
