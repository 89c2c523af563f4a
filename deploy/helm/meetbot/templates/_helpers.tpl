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
serviceAccountName: {{ include "meetbot.name" . }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.imagePullSecrets }}
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
