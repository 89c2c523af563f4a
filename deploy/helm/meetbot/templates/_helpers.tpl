{{- define "meetbot.name" -}}
{{- printf "%s-meetbot" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "meetbot.labels" -}}
app.kubernetes.io/name: meetbot
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* The labels that select the pods of a part: `server` or `worker`. */ -}}
{{- define "meetbot.selector" -}}
app.kubernetes.io/name: meetbot
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "meetbot.podSecurity" -}}
automountServiceAccountToken: false
serviceAccountName: {{ include "meetbot.name" .root }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {{- toYaml (get . "seccompProfile" | default (dict "type" "RuntimeDefault")) | nindent 4 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "meetbot.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- /* Where a data folder is, in a volume that belongs to root: a folder in it, which meetbot makes for its user alone. And the bucket. */ -}}
{{- define "meetbot.environment" -}}
- name: MEETBOT_CONFIG
  value: /etc/meetbot/settings.toml
- name: MEETBOT_SERVER_DATA_DIR
  value: /data/meetbot
- name: MEETBOT_LOG_FORMAT
  value: json
- name: MEETBOT_STORAGE_URL
  value: {{ .root.Values.storage.url | quote }}
{{- with .root.Values.storage.endpoint }}
- name: MEETBOT_STORAGE_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .root.Values.storage.region }}
- name: MEETBOT_STORAGE_REGION
  value: {{ . | quote }}
{{- end }}
{{- if .root.Values.storage.pathStyle }}
- name: MEETBOT_STORAGE_PATH_STYLE
  value: "true"
{{- end }}
{{- with .secret }}
- name: MEETBOT_STORAGE_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: { name: {{ . }}, key: accessKeyId }
- name: MEETBOT_STORAGE_SECRET_ACCESS_KEY_FILE
  value: /run/secrets/storage/secretAccessKey
{{- end }}
{{- end }}

{{- define "meetbot.mounts" -}}
- name: data
  mountPath: /data
- name: tmp
  mountPath: /tmp
- name: settings
  mountPath: /etc/meetbot
  readOnly: true
{{- if .secret }}
- name: storage
  mountPath: /run/secrets/storage
  readOnly: true
{{- end }}
{{- end }}

{{- define "meetbot.volumes" -}}
- name: tmp
  emptyDir: {}
- name: settings
  configMap:
    name: {{ include "meetbot.name" .root }}-{{ .part }}
{{- with .secret }}
- name: storage
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: secretAccessKey
        path: secretAccessKey
{{- end }}
{{- end }}

{{- /* The pools that run, with commas around each. Fails where their values do not fit together. */ -}}
{{- define "meetbot.pools" -}}
{{- $keda := .Values.keda }}
{{- range $name, $pool := .Values.workers.pools }}
{{- if $pool.enabled }}
{{- $at := printf "workers.pools.%s" $name }}
{{- if eq $pool.scaling "keda" }}
{{- if not (hasKey $pool "maxReplicas") }}{{ fail (printf "%s.maxReplicas is missing: with `scaling: keda` it is the largest number of pods" $at) }}{{ end }}
{{- if and (eq $keda.trigger "metrics-api") (not $keda.metricsKeySecret.name) }}{{ fail (printf "keda.metricsKeySecret.name is missing: %s has `scaling: keda`, and KEDA reads the servers' metrics with a key of the scope `admin`" $at) }}{{ end }}
{{- if and (eq $keda.trigger "prometheus") (not $keda.prometheus.address) }}{{ fail (printf "keda.prometheus.address is missing: %s has `scaling: keda`, and the trigger is prometheus" $at) }}{{ end }}
{{- else }}
{{- if hasKey $pool "untilIdleSeconds" }}{{ fail (printf "%s.untilIdleSeconds is for `scaling: keda`: a Deployment would start the pod again" $at) }}{{ end }}
{{- if hasKey $pool "maxReplicas" }}{{ fail (printf "%s.maxReplicas is for `scaling: keda`: a Deployment has `replicas`" $at) }}{{ end }}
{{- end }}
{{- if eq $name "browser" }}
{{- range $resource := list "cpu" "memory" }}
{{- if ne (toString (get $pool.resources.requests $resource)) (toString (get $pool.resources.limits $resource)) }}{{ fail (printf "%s.resources: requests.%s and limits.%s must be equal, so that other pods take nothing from browsers" $at $resource $resource) }}{{ end }}
{{- end }}
{{- end }}
,{{ $name }},
{{- end }}
{{- end }}
{{- end }}

{{- /* Not empty if KEDA reads the metrics of the servers. */ -}}
{{- define "meetbot.kedaReadsServers" -}}
{{- range $name, $pool := .Values.workers.pools }}
{{- if and $pool.enabled (eq $pool.scaling "keda") (eq $.Values.keda.trigger "metrics-api") }}yes{{ end }}
{{- end }}
{{- end }}

{{- define "meetbot.poolSelector" -}}
{{ include "meetbot.selector" (dict "root" .root "part" "worker") }}
meetbot/pool: {{ .name }}
{{- end }}

{{- /* The pod of a pool's worker. */ -}}
{{- define "meetbot.worker" -}}
{{- $values := .root.Values }}
{{- $pool := .pool }}
{{- $image := $pool.image | default dict }}
{{- $secret := $values.storage.workerSecret }}
{{- $key := $values.workers.keySecret.key }}
{{- $metrics := $values.workers.metrics }}
{{- $scaled := eq $pool.scaling "keda" -}}
metadata:
  labels: {{- include "meetbot.poolSelector" (dict "root" .root "name" .name) | nindent 4 }}
  annotations:
    # Autoscalers of nodes leave a node alone while a worker is on it.
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
    {{- if $metrics.enabled }}
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ $metrics.port | quote }}
    prometheus.io/path: /metrics
    {{- end }}
    checksum/settings: {{ $pool.settings | default "" | sha256sum }}
spec:
  {{- include "meetbot.podSecurity" (dict "root" .root "seccompProfile" $pool.seccompProfile) | nindent 2 }}
  {{- if $scaled }}
  # KEDA starts another pod if jobs still want its places.
  restartPolicy: Never
  {{- end }}
  # After the time for meetings, 90 s for the last uploads.
  terminationGracePeriodSeconds: {{ add $pool.drainSeconds 90 }}
  {{- include "meetbot.placement" $pool | nindent 2 }}
  # No probe: a worker that no server answers keeps its bots, and one that ends is started again.
  containers:
    - name: worker
      image: "{{ get $image "repository" | default $values.image.repository }}:{{ get $image "tag" | default $values.image.tag }}"
      imagePullPolicy: {{ $values.image.pullPolicy }}
      {{- include "meetbot.containerSecurity" .root | nindent 6 }}
      args:
        - worker
        - --servers=http://{{ include "meetbot.name" .root }}:{{ $values.server.port }}
        - --key-file=/run/secrets/worker/{{ $key }}
        - --pools={{ .name }}
        - --bots={{ $pool.places }}
        {{- range $pool.labels }}
        - --label={{ . }}
        {{- end }}
        {{- if $metrics.enabled }}
        - --metrics=$(POD_IP):{{ $metrics.port }}
        {{- end }}
        {{- if $scaled }}
        - --until-idle={{ get $pool "untilIdleSeconds" | default 60 }}s
        {{- end }}
      env:
        {{- if $metrics.enabled }}
        - name: POD_IP
          valueFrom:
            fieldRef: { fieldPath: status.podIP }
        {{- end }}
        - name: MEETBOT_SERVER_DRAIN_SECONDS
          value: {{ $pool.drainSeconds | quote }}
        {{- if eq .name "browser" }}
        - name: MEETBOT_BOTS_BROWSER_ENABLED
          value: "true"
        - name: MEETBOT_BOTS_BROWSER_MAX
          value: {{ $pool.places | quote }}
        {{- end }}
        {{- include "meetbot.environment" (dict "root" .root "secret" $secret) | nindent 8 }}
      {{- if $metrics.enabled }}
      ports:
        - name: metrics
          containerPort: {{ $metrics.port }}
      {{- end }}
      resources: {{- toYaml $pool.resources | nindent 8 }}
      volumeMounts:
        {{- include "meetbot.mounts" (dict "secret" $secret) | nindent 8 }}
        - name: key
          mountPath: /run/secrets/worker
          readOnly: true
  volumes:
    - name: data
      emptyDir: {}
    - name: key
      secret:
        secretName: {{ $values.workers.keySecret.name }}
        defaultMode: 0440
        items:
          - key: {{ $key }}
            path: {{ $key }}
    {{- include "meetbot.volumes" (dict "root" .root "part" (printf "worker-%s" .name) "secret" $secret) | nindent 4 }}
{{- end }}

{{- define "meetbot.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
