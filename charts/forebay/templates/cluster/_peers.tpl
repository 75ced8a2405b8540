{{- /* Peers of NetworkPolicies. */ -}}
{{- define "forebay.monitoringPeers" -}}
{{- with .Values.networkPolicy.monitoring -}}
{{- toYaml . -}}
{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end -}}

{{- /* Pods of a component in the release's namespace. Argument: list of the context and the component. */ -}}
{{- define "forebay.releasePeer" -}}
{{- $root := index . 0 -}}
- namespaceSelector:
    matchLabels:
      kubernetes.io/metadata.name: {{ $root.Release.Namespace }}
  podSelector:
    matchLabels:
      {{- include "forebay.selector" . | nindent 6 }}
{{- end -}}

{{- /* Names, and the API server: no selector can name it. */ -}}
{{- define "forebay.commonEgress" -}}
{{- $values := .Values.networkPolicy -}}
- ports:
    {{- range $values.dnsPorts }}
    - port: {{ . }}
      protocol: UDP
    - port: {{ . }}
      protocol: TCP
    {{- end }}
- ports:
    {{- range $values.apiServerPorts }}
    - port: {{ . }}
    {{- end }}
  {{- with $values.apiServerPeers }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with $values.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end -}}
