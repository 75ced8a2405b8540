{{- /* What the operator may do in each namespace where it acts. Apply is the verb patch, and create where the object is not there yet. */ -}}
{{- define "forebay.operatorRules" -}}
- apiGroups: [forebay.dev]
  resources: [modeldeployments]
  verbs: [list, watch]
- apiGroups: [forebay.dev]
  resources: [modeldeployments/status]
  verbs: [patch]
# Pools of servers. Of pods only the deletion cost is written.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
# Conversions. Why a Job's pod was refused is told by Events only.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [list, watch, create, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [list, watch]
# The models' names. Services go with their ModelDeployments.
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch]
# What there is to tell of an object.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
# These Secrets, by name. None can be read.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [forebay-repository-token, forebay-store{{ if include "forebay.storeReadSecret" . }}, forebay-store-read{{ end }}]
  verbs: [create, patch]
{{- end -}}

{{- /* Whether a request is this release's operator's. */ -}}
{{- define "forebay.isOperator" -}}
- name: is-operator
  expression: request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "forebay.operatorAccount" . }}'
{{- end -}}
