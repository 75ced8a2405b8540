{{- /* What the operator is told, as YAML. */ -}}
{{- define "forebay.config" -}}
schema: forebay.dev/installation/v1
namespaces:
  {{- toYaml .Values.namespaces | nindent 2 }}
logLevel: {{ .Values.operator.logLevel }}
gatewayHost: {{ include "forebay.gatewayHost" . }}
pullPolicy: {{ .Values.images.pullPolicy }}
pullSecrets:
  {{- toYaml .Values.images.pullSecrets | nindent 2 }}
store:
  uri: {{ include "forebay.storeUri" . | quote }}
  claim: {{ include "forebay.storeClaim" . | quote }}
  hasCredentials: {{ ne (include "forebay.storeSecret" .) "" }}
servers:
  cpuImage: {{ include "forebay.image" (list . .Values.images.runtime) }}
  gpuImage: {{ include "forebay.image" (list . .Values.images.runtimeGpu) }}
  limits:
    {{- toYaml .Values.servers.limits | nindent 4 }}
  requests:
    {{- toYaml .Values.servers.requests | nindent 4 }}
  scratch: {{ .Values.servers.scratch | quote }}
  drainSeconds: {{ .Values.servers.drainSeconds }}
  simulatedPace: {{ .Values.devices.simulated.pace | quote }}
  priorityClass: {{ include "forebay.priorityClass" (list . .Values.servers.priorityClassName "serving") | quote }}
  gpuRuntimeClass: {{ .Values.servers.runtimeClassName | quote }}
  podAnnotations:
    {{- $scraped := dict }}
    {{- if .Values.monitoring.annotations }}
    {{- $scraped = include "forebay.scrapeAnnotations" 8002 | fromYaml }}
    {{- end }}
    {{- merge (deepCopy .Values.servers.podAnnotations) $scraped | toYaml | nindent 4 }}
conversions:
  image: {{ include "forebay.image" (list . .Values.images.convertSklearn) }}
  limits:
    {{- toYaml .Values.conversions.limits | nindent 4 }}
  requests:
    {{- toYaml .Values.conversions.requests | nindent 4 }}
  work: {{ .Values.conversions.work | quote }}
  seconds: {{ .Values.conversions.seconds }}
  trustSource: {{ .Values.conversions.trustSource }}
  priorityClass: {{ include "forebay.priorityClass" (list . .Values.conversions.priorityClassName "conversions") | quote }}
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
{{- end -}}
