{{/* The name of everything in a release: the chart's, or the release's with it. */}}
{{- define "rates-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the operator's pods. It cannot be changed later. */}}
{{- define "rates-operator.selector" -}}
app.kubernetes.io/name: rates-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rates-operator.labels" -}}
{{ include "rates-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* Everything of the activator, and what selects its pods. */}}
{{- define "rates-operator.activator" -}}
{{- include "rates-operator.name" . | replace "rates-operator" "rates-activator" -}}
{{- end -}}

{{- define "rates-operator.activator-selector" -}}
app.kubernetes.io/name: rates-activator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "rates-operator.activator-labels" -}}
{{ include "rates-operator.activator-selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What no schema can say in a sentence. */}}
{{- define "rates-operator.check" -}}
{{- if and .Values.watchNamespace .Values.excludeNamespaces -}}
{{- fail (printf "watchNamespace is %q, so that namespace alone is served and excludeNamespaces has nothing to leave out; set one of them" .Values.watchNamespace) -}}
{{- end -}}
{{- if and .Values.monitoring.enabled .Values.metrics.serviceMonitor.enabled -}}
{{- fail "monitoring.enabled brings a PodMonitor for the operator, and metrics.serviceMonitor.enabled would have it scraped twice; set one of them" -}}
{{- end -}}
{{- end -}}
