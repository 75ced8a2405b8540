{{- /* What the operator is told, as YAML. */ -}}
{{- define "forebay.config" -}}
schema: forebay.dev/installation/v1
namespaces:
  {{- toYaml .Values.namespaces | nindent 2 }}
logLevel: {{ .Values.operator.logLevel }}
auditSeconds: {{ .Values.operator.auditSeconds }}
leadership:
  {{- toYaml .Values.operator.leadership | nindent 2 }}
gatewayHost: {{ include "forebay.gatewayHost" . }}
pullPolicy: {{ .Values.images.pullPolicy }}
pullSecrets:
  {{- toYaml .Values.images.pullSecrets | nindent 2 }}
securityContext:
  {{- range $name := list "runAsUser" "runAsGroup" "fsGroup" }}
  {{- $id := index $.Values.securityContext $name }}
  {{ $name }}: {{ kindIs "invalid" $id | ternary "null" (toString (int64 $id)) }}
  {{- end }}
store:
  uri: {{ include "forebay.storeUri" . | quote }}
  claim: {{ include "forebay.storeClaim" . | quote }}
  hasCredentials: {{ ne (include "forebay.storeSecret" .) "" }}
  hasReadingCredentials: {{ ne (include "forebay.storeReadSecret" .) "" }}
servers:
  cpuImage: {{ include "forebay.image" (list . .Values.images.runtime) }}
  gpuImage: {{ include "forebay.image" (list . .Values.images.runtimeGpu) }}
  {{- include "forebay.podsConfig" (list . .Values.servers "serving") | nindent 2 }}
  scratch: {{ .Values.servers.scratch | quote }}
  drainSeconds: {{ .Values.servers.drainSeconds }}
  simulatedPace: {{ .Values.devices.simulated.pace | quote }}
  {{- if .Values.servers.podDisruptionBudget.enabled }}
  maxUnavailable: {{ .Values.servers.podDisruptionBudget.maxUnavailable }}
  {{- end }}
  gpuRuntimeClass: {{ .Values.servers.runtimeClassName | quote }}
  podAnnotations:
    {{- include "forebay.podAnnotations" (list . .Values.servers 8002 (list "scratch")) | nindent 4 }}
conversions:
  image: {{ include "forebay.image" (list . .Values.images.convertSklearn) }}
  images:
    {{- range $format, $image := .Values.conversions.images }}
    {{ $format }}: {{ include "forebay.image" (list $ $image) }}
    {{- else }} {}
    {{- end }}
  {{- include "forebay.podsConfig" (list . .Values.conversions "conversions") | nindent 2 }}
  podAnnotations:
    # Its work would be lost, and it does not take long.
    {{- merge (deepCopy .Values.conversions.podAnnotations) (dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "false") | toYaml | nindent 4 }}
  work: {{ .Values.conversions.work | quote }}
  seconds: {{ .Values.conversions.seconds }}
  trustSource: {{ .Values.conversions.trustSource }}
devices:
  cpu:
    servers: {{ .Values.devices.cpu.servers }}
    memory: {{ .Values.devices.cpu.memory | quote }}
  simulated:
    servers: {{ .Values.devices.simulated.servers }}
    memory: {{ .Values.devices.simulated.memory | quote }}
  autoscaled:
    {{- toYaml .Values.devices.autoscaled | nindent 4 }}
settings:
  warmServers: {{ .Values.operator.warmServers }}
  serverIdleSeconds: {{ .Values.operator.serverIdleSeconds }}
  serverStartSeconds: {{ .Values.operator.serverStartSeconds }}
  artifactGraceSeconds: {{ .Values.operator.artifactGraceSeconds }}
  holdSeconds: {{ .Values.gateway.holdSeconds }}
{{- end -}}

{{- /* What is told of servers' pods and of conversions' alike. Argument: the context, their values, and the priority class of theirs. */ -}}
{{- define "forebay.podsConfig" -}}
{{- $values := index . 1 -}}
limits:
  {{- toYaml $values.limits | nindent 2 }}
requests:
  {{- toYaml $values.requests | nindent 2 }}
environment:
  {{- include "forebay.env" (list (index . 0) $values.extraEnv) | nindent 2 }}
volumes:
  {{- include "forebay.volumes" (list (index . 0) $values.extraVolumes) | nindent 2 }}
mounts:
  {{- include "forebay.volumeMounts" (list (index . 0) $values.extraVolumeMounts) | nindent 2 }}
serviceAccount: {{ $values.serviceAccountName | quote }}
priorityClass: {{ include "forebay.priorityClass" (list (index . 0) $values.priorityClassName (index . 2)) | quote }}
nodeSelector:
  {{- toYaml $values.nodeSelector | nindent 2 }}
tolerations:
  {{- toYaml $values.tolerations | nindent 2 }}
podLabels:
  {{- toYaml $values.podLabels | nindent 2 }}
{{- end -}}
