{{- /* Names. Pod names and labels add to these, so they stay short. */ -}}
{{- define "forebay.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Labels of every object. What the operator makes says managed-by: forebay; these are not its own. */ -}}
{{- define "forebay.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: forebay
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* What a component's pods are selected by. Argument: list of the context and the component. */ -}}
{{- define "forebay.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: forebay-{{ index . 1 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- /* Labels of what belongs to no component. */ -}}
{{- define "forebay.labelsOfAll" -}}
app.kubernetes.io/name: forebay
app.kubernetes.io/instance: {{ .Release.Name }}
{{ include "forebay.labels" . }}
{{- end -}}

{{- define "forebay.labelsOf" -}}
{{ include "forebay.selector" . }}
{{ include "forebay.labels" (index . 0) }}
{{- end -}}

{{- /* Labels of a component's pods, without versions: a new version alone restarts nothing. Argument: as above, and values. */ -}}
{{- define "forebay.podLabels" -}}
{{ include "forebay.selector" . }}
app.kubernetes.io/part-of: forebay
{{- with (index . 2).podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Whether an image's name begins with a registry. */ -}}
{{- define "forebay.hasRegistry" -}}
{{- if regexMatch "^(localhost|[^/]*[.:][^/]*)/" . }}yes{{ end -}}
{{- end -}}

{{- /* An image of Forebay's own. Argument: list of the context and the image's name. */ -}}
{{- define "forebay.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- if and $root.Values.images.registry (not (include "forebay.hasRegistry" $name)) -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $root.Values.images.registry) $name -}}
{{- end -}}
{{- if or (contains "@" $name) (contains ":" (last (splitList "/" $name))) -}}
{{- $name -}}
{{- else -}}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $root.Values.images.tag) -}}
{{- end -}}
{{- end -}}

{{- define "forebay.operatorAccount" -}}
{{- default (ternary (printf "%s-operator" (include "forebay.fullname" .)) "default" .Values.operator.serviceAccount.create) .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- define "forebay.gatewayAccount" -}}
{{- default (ternary (printf "%s-gateway" (include "forebay.fullname" .)) "default" .Values.gateway.serviceAccount.create) .Values.gateway.serviceAccount.name -}}
{{- end -}}

{{- /* The accounts of what the operator makes, as CEL writes a list's members. */ -}}
{{- define "forebay.accountsOfPods" -}}
{{- $accounts := list "" "default" .Values.servers.serviceAccountName .Values.conversions.serviceAccountName -}}
{{- range $at, $account := uniq $accounts }}{{ if $at }}, {{ end }}{{ squote $account }}{{ end -}}
{{- end -}}

{{- define "forebay.gatewayHost" -}}
{{ include "forebay.fullname" . }}-gateway.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{- /* Whether the chart brings the store. */ -}}
{{- define "forebay.ownStore" -}}
{{- if not .Values.store.uri }}yes{{ end -}}
{{- end -}}
{{- define "forebay.storeUri" -}}
{{- default "s3://forebay" .Values.store.uri -}}
{{- end -}}
{{- define "forebay.storeSecret" -}}
{{- if include "forebay.ownStore" . -}}
{{- default (printf "%s-store-credentials" (include "forebay.fullname" .)) .Values.store.server.secret -}}
{{- else -}}
{{- .Values.store.secret -}}
{{- end -}}
{{- end -}}
{{- define "forebay.storeReadSecret" -}}
{{- if not (include "forebay.ownStore" .) }}{{ .Values.store.readSecret }}{{ end -}}
{{- end -}}
{{- define "forebay.storeClaim" -}}
{{- if hasPrefix "file://" .Values.store.uri -}}
{{- required "store.uri is a file:// URI: set store.claim to the volume claim that is to be mounted there" .Values.store.claim -}}
{{- end -}}
{{- end -}}
{{- define "forebay.keySecret" -}}
{{- default (printf "%s-keys" (include "forebay.fullname" .)) .Values.operator.keySecret -}}
{{- end -}}

{{- /* Name of a PriorityClass that the chart makes: with its value, which cannot be changed. Argument: context, serving or conversions. */ -}}
{{- define "forebay.ownPriorityClass" -}}
{{- $value := index (index . 0).Values.priorityClasses (index . 1) | int64 | toString | replace "-" "minus-" -}}
{{- printf "%s-%s-%s" (include "forebay.fullname" (index . 0)) (index . 1) $value -}}
{{- end -}}

{{- /* The PriorityClass of a pod. Argument: list of the context, the class that is set, and serving or conversions. */ -}}
{{- define "forebay.priorityClass" -}}
{{- $root := index . 0 -}}
{{- if index . 1 -}}
{{- index . 1 -}}
{{- else if $root.Values.priorityClasses.create -}}
{{- include "forebay.ownPriorityClass" (list $root (index . 2)) -}}
{{- end -}}
{{- end -}}

{{- /* Variables for who reaches out of the cluster: proxies, and certificate authorities. */ -}}
{{- define "forebay.outwardEnv" -}}
{{- with .Values.proxy.http }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.proxy.https }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
{{- if or .Values.proxy.http .Values.proxy.https }}
- name: NO_PROXY
  value: {{ concat (list "localhost" "127.0.0.1" "::1" ".svc" (printf ".%s" .Values.clusterDomain) "$(KUBERNETES_SERVICE_HOST)") .Values.proxy.noProxy | join "," | quote }}
{{- end }}
{{- with include "forebay.caFile" . }}
- name: SSL_CERT_FILE
  value: {{ . }}
- name: AWS_CA_BUNDLE
  value: {{ . }}
{{- end }}
{{- end -}}

{{- /* Those, and more. What is said by the latter counts. Argument: list of the context and extraEnv. */ -}}
{{- define "forebay.env" -}}
{{- $extra := index . 1 -}}
{{- $names := list -}}
{{- range $extra }}{{ $names = append $names .name }}{{ end -}}
{{- $all := list -}}
{{- range include "forebay.outwardEnv" (index . 0) | fromYamlArray }}
{{- if not (has .name $names) }}{{ $all = append $all . }}{{ end -}}
{{- end -}}
{{- concat $all $extra | default list | toYaml -}}
{{- end -}}

{{- /* The file with certificate authorities, as pods see it; empty: there is none. */ -}}
{{- define "forebay.caFile" -}}
{{- if or .Values.caBundle.configMap .Values.caBundle.secret -}}
/etc/forebay/ca/{{ .Values.caBundle.key }}
{{- end -}}
{{- end -}}

{{- /* Volumes: with certificate authorities, where there are any, and more. Argument: list of the context and extraVolumes. */ -}}
{{- define "forebay.volumes" -}}
{{- $all := list -}}
{{- with (index . 0).Values.caBundle }}
{{- $item := list (dict "key" .key "path" .key) -}}
{{- if .configMap }}
{{- $all = list (dict "name" "ca" "configMap" (dict "name" .configMap "items" $item)) -}}
{{- else if .secret }}
{{- $all = list (dict "name" "ca" "secret" (dict "secretName" .secret "items" $item)) -}}
{{- end }}
{{- end }}
{{- concat $all (index . 1) | default list | toYaml -}}
{{- end -}}

{{- /* Where they are mounted. Argument: list of the context and extraVolumeMounts. */ -}}
{{- define "forebay.volumeMounts" -}}
{{- $all := list -}}
{{- if include "forebay.caFile" (index . 0) }}
{{- $all = list (dict "name" "ca" "mountPath" "/etc/forebay/ca" "readOnly" true) -}}
{{- end }}
{{- concat $all (index . 1) | default list | toYaml -}}
{{- end -}}

{{- /* Families of a Service's addresses. */ -}}
{{- define "forebay.ipFamilies" -}}
{{- with .Values.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Who reads a Secret that is mounted: the group of volumes, or everyone in the pod where the cluster may set none. */ -}}
{{- define "forebay.secretMode" -}}
{{- ternary "0444" "0440" (kindIs "invalid" .Values.securityContext.fsGroup) -}}
{{- end -}}

{{- /* Parts that every pod of the chart has, accepted by pod security `restricted`. Argument: context, component, its values. */ -}}
{{- define "forebay.podBasics" -}}
{{- $root := index . 0 -}}
{{- $values := index . 2 -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  {{- range $name := list "runAsUser" "runAsGroup" "fsGroup" }}
  {{- $id := index $root.Values.securityContext $name }}
  {{- if not (kindIs "invalid" $id) }}
  {{ $name }}: {{ int64 $id }}
  {{- end }}
  {{- end }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with include "forebay.priorityClass" (list $root $values.priorityClassName "serving") }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if $values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else if not $values.affinity }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "forebay.selector" $ | nindent 8 }}
    # While they are replaced, only those that stay count.
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}

{{- define "forebay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Annotations of pods: theirs, and what they do not say themselves of being scraped and of their volumes. Argument: context,
values, port (0: nothing is scraped), volumes of their own that are emptyDirs. */ -}}
{{- define "forebay.podAnnotations" -}}
{{- $values := index . 1 -}}
{{- $scraped := dict -}}
{{- if and (index . 0).Values.monitoring.annotations (index . 2) -}}
{{- $scraped = include "forebay.scrapeAnnotations" (index . 2) | fromYaml -}}
{{- end -}}
{{- $volumes := index . 3 -}}
{{- range $values.extraVolumes }}{{ if hasKey . "emptyDir" }}{{ $volumes = append $volumes .name }}{{ end }}{{ end -}}
{{- /* Nothing in them is worth keeping: they keep no cluster autoscaler from taking their node away. */ -}}
{{- $disposable := dict "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes" (join "," $volumes) -}}
{{- merge (deepCopy $values.podAnnotations) $scraped $disposable | toYaml -}}
{{- end -}}

{{- define "forebay.scrapeAnnotations" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "{{ . }}"
prometheus.io/path: /metrics
{{- end -}}

{{- /* Values that are each allowed and do not go together. */ -}}
{{- define "forebay.checks" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" (include "forebay.fullname" .)) }}
{{- fail (printf "objects cannot be called %q: names of Services begin with a letter and have no dots; set fullnameOverride" (include "forebay.fullname" .)) }}
{{- end }}
{{- if le (int .Values.gateway.drainSeconds) (int .Values.gateway.holdSeconds) }}
{{- fail (printf "gateway.drainSeconds (%v) must be longer than gateway.holdSeconds (%v): or a gateway that ends drops requests that wait" .Values.gateway.drainSeconds .Values.gateway.holdSeconds) }}
{{- end }}
{{- $end := add .Values.gateway.preStopSeconds .Values.gateway.drainSeconds }}
{{- with int .Values.gateway.terminationGracePeriodSeconds }}
{{- if lt . (int $end) }}
{{- fail (printf "gateway.terminationGracePeriodSeconds (%d) is shorter than preStopSeconds and drainSeconds together (%d): a gateway would be killed while it answers" . $end) }}
{{- end }}
{{- end }}
{{- with .Values.gateway.strategy }}
{{- if and (has (toString .maxSurge) (list "0" "0%")) (has (toString .maxUnavailable) (list "0" "0%")) }}
{{- fail "gateway.strategy: maxSurge and maxUnavailable are both 0, so that no gateway could ever be replaced: set one of them to 1" }}
{{- end }}
{{- end }}
{{- if and .Values.priorityClasses.create (le (int64 .Values.priorityClasses.serving) (int64 .Values.priorityClasses.conversions)) }}
{{- fail (printf "priorityClasses.serving (%d) must be above priorityClasses.conversions (%d): or conversions take the nodes of servers" (int64 .Values.priorityClasses.serving) (int64 .Values.priorityClasses.conversions)) }}
{{- end }}
{{- range .Values.networkPolicy.modelNamespaces }}
{{- if and $.Values.namespaces (not (has . $.Values.namespaces)) }}
{{- fail (printf "networkPolicy.modelNamespaces has %s, whose ModelDeployments are not served: namespaces has only %s; add it there, or remove it here" . (join ", " $.Values.namespaces)) }}
{{- end }}
{{- end }}
{{- if and .Values.caBundle.configMap .Values.caBundle.secret }}
{{- fail "caBundle.configMap and caBundle.secret are both set: set one of them" }}
{{- end }}
{{- if and (eq .Values.ipFamilyPolicy "SingleStack") (gt (len .Values.ipFamilies) 1) }}
{{- fail "ipFamilyPolicy is SingleStack, and ipFamilies has two families: set one, or PreferDualStack" }}
{{- end }}
{{- with .Values.gateway.service }}
{{- if and (eq .type "ClusterIP") (or .externalTrafficPolicy .httpNodePort .grpcNodePort) }}
{{- fail "gateway.service: externalTrafficPolicy, httpNodePort and grpcNodePort go with type NodePort or LoadBalancer" }}
{{- end }}
{{- if and (ne .type "LoadBalancer") (or .loadBalancerClass .loadBalancerSourceRanges) }}
{{- fail "gateway.service: loadBalancerClass and loadBalancerSourceRanges go with type LoadBalancer" }}
{{- end }}
{{- end }}
{{- with .Values.operator.leadership }}
{{- if or (le (int .deadlineSeconds) (int .retrySeconds)) (gt (add .deadlineSeconds 2) (int .durationSeconds)) }}
{{- fail (printf "operator.leadership: retrySeconds (%v) must be below deadlineSeconds (%v), and that two below durationSeconds (%v): one operator has to stop before another begins" .retrySeconds .deadlineSeconds .durationSeconds) }}
{{- end }}
{{- end }}
{{- if and .Values.store.server.secret .Values.store.uri }}
{{- fail "store.server.secret is for the server that the chart brings, and store.uri takes its place: set one of them" }}
{{- end }}
{{- if and .Values.store.readSecret (not .Values.store.secret) }}
{{- fail "store.readSecret is set and store.secret is not: it is for a store of your own, whose writing credentials are in store.secret" }}
{{- end }}
{{- if and .Values.store.claim (not (hasPrefix "file://" .Values.store.uri)) }}
{{- fail "store.claim is set but store.uri is no file:// URI: set store.uri to where the claim is to be mounted, for example file:///store" }}
{{- end }}
{{- if and (hasPrefix "file://" .Values.store.uri) .Values.store.secret }}
{{- fail "store.secret has no meaning for a file:// store: remove it" }}
{{- end }}
{{- range $value, $name := dict "store.secret" .Values.store.secret "store.readSecret" .Values.store.readSecret "store.server.secret" .Values.store.server.secret "operator.keySecret" .Values.operator.keySecret }}
{{- if has $name (list "forebay-store" "forebay-store-read" "forebay-repository-token") }}
{{- fail (printf "%s is %q, which is the name of a Secret that the operator makes itself, and would overwrite: choose another name" $value $name) }}
{{- end }}
{{- end }}
{{- range $component := list "operator" "gateway" }}
{{- $account := (index $.Values $component).serviceAccount }}
{{- if and (not $account.create) (has $account.name (list "" "default")) }}
{{- fail (printf "%s.serviceAccount.create is false and its name %q: the rights of the %s would go to every pod of the namespace; set %s.serviceAccount.name to an account of its own" $component $account.name $component $component) }}
{{- end }}
{{- end }}
{{- include "forebay.imageChecks" . }}
{{- end -}}

{{- /* Images whose names say no registry would come from Docker Hub, where nobody publishes them, or somebody else. */ -}}
{{- define "forebay.imageChecks" -}}
{{- if not (or .Values.images.local (eq .Values.images.pullPolicy "Never")) }}
{{- $ours := pick .Values.images "operator" "gateway" "runtime" "runtimeGpu" "convertSklearn" }}
{{- range $image := concat (values $ours) (values .Values.conversions.images) }}
{{- $image = include "forebay.image" (list $ $image) }}
{{- if and (not $.Values.images.registry) (not (include "forebay.hasRegistry" $image)) }}
{{- fail (printf "nothing is published as %s: set images.registry to the registry that you pushed Forebay's images to, for example registry.example.com/ml, or images.local=true if all nodes have them already" $image) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
