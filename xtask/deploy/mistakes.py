"""What the check of the Helm chart must find: values that the chart refuses, and objects with a mistake."""

from __future__ import annotations

from typing import Any

#: Values that must be refused, each with words of the reason. They are merged into `values/fixed.yaml`.
REFUSED = {
    "store: { url: 'postgres://meetbot:secret@host/meetbot' }": "store.url",
    "storage: { url: 'https://bucket' }": "storage.url",
    "workers: { keySecret: { name: '' } }": "workers.keySecret.name",
    "server: { replica: 2 }": "replica",
    "workers: { bots: 20 }": "Additional property bots is not allowed",
    "workers: { pools: { gpu: { enabled: true } } }": "Additional property gpu is not allowed",
    "workers: { pools: { native: { places: 0 } } }": "workers.pools.native.places",
    "workers: { pools: { native: { scaling: hpa } } }": "workers.pools.native.scaling",
    "workers: { pools: { native: { maxReplica: 5 } } }": "Additional property maxReplica is not allowed",
    "workers: { pools: { native: { untilIdleSeconds: 60 } } }": "workers.pools.native.untilIdleSeconds is for `scaling: keda`",
    "workers: { pools: { native: { maxReplicas: 5 } } }": "workers.pools.native.maxReplicas is for `scaling: keda`",
    "{ workers: { pools: { native: { scaling: keda } } }, keda: { metricsKeySecret: { name: a } } }": "workers.pools.native.maxReplicas is missing",
    "workers: { pools: { native: { scaling: keda, maxReplicas: 5 } } }": "keda.metricsKeySecret.name is missing",
    "{ workers: { pools: { native: { scaling: keda, maxReplicas: 5 } } }, keda: { trigger: prometheus } }": "keda.prometheus.address is missing",
    "keda: { trigger: cron }": "keda.trigger",
    "keda: { prometheus: { address: 'prometheus:9090' } }": "keda.prometheus.address",
    "workers: { pools: { browser: { enabled: true, resources: { limits: { memory: 6Gi } } } } }": "requests.memory and limits.memory must be equal",
    "workers: { pools: { native: { resources: { requests: { ephemeral-storage: null } } } } }": "ephemeral-storage",
    "workers: { metrics: { port: 80 } }": "workers.metrics.port",
    "workers: { metrics: { enabled: false, podMonitor: { enabled: true } } }": "needs workers.metrics.enabled",
    "workers: { pools: { native: { labels: [EU] } } }": "workers.pools.native.labels",
}

NATIVE, BROWSER = "ScaledJob main-meetbot-worker-native", "ScaledJob main-meetbot-worker-browser"
FIXED, SERVER = "Deployment main-meetbot-worker-native", "Deployment main-meetbot-server"
FIXED_BROWSER = "Deployment main-meetbot-worker-browser"
MONITOR = "PodMonitor main-meetbot-worker"
TEMPLATE = "spec jobTargetRef template"
CONTAINER = f"{TEMPLATE} spec containers 0"
FIXED_CONTAINER = "spec template spec containers 0"
IDLE = ["worker", "--pools=native", "--bots=20", "--until-idle=60s"]

#: The values file, the object, the path of a field with spaces between its parts, its wrong value (None: the field is missing), and words of what must be found.
MISTAKES: tuple[tuple[str, str, str, Any, str], ...] = (
    # Fields and values that the schemas do not have.
    ("fixed.yaml", "Service main-meetbot", "spec port", 1, "Kubernetes 1.27"),
    ("fixed.yaml", FIXED, f"{FIXED_CONTAINER} argument", [], "Kubernetes 1.37"),
    ("fixed.yaml", FIXED, "spec replicas", "two", "Kubernetes 1.27"),
    ("keda.yaml", NATIVE, f"{CONTAINER} argument", [], "Kubernetes 1.37"),
    ("keda.yaml", NATIVE, f"{CONTAINER} argument", [], "KEDA: Additional properties"),
    ("keda.yaml", NATIVE, "spec maxReplicas", 5, "KEDA: Additional properties"),
    ("keda.yaml", NATIVE, "spec maxReplicaCount", 0, "KEDA: 0 is less than the minimum"),
    ("keda.yaml", NATIVE, "spec maxReplicaCount", "50", "KEDA: '50' is not of type 'integer'"),
    ("keda.yaml", NATIVE, "spec rollout strategie", "gradual", "KEDA: Additional properties"),
    ("keda.yaml", NATIVE, "spec rollout strategy", "slow", "KEDA: 'slow' is not one of"),
    ("keda.yaml", NATIVE, "spec jobTargetRef template", None, "KEDA: 'template' is a required property"),
    ("keda.yaml", NATIVE, "spec triggers 0 metadata targetValue", 20, "KEDA: 20 is not of type 'string'"),
    ("keda.yaml", NATIVE, "spec triggers 0 authenticationReference", {}, "KEDA: Additional properties"),
    ("keda.yaml", "TriggerAuthentication main-meetbot-metrics", "spec secretTargetRef 0 key", None, "KEDA: 'key' is a required property"),
    ("keda.yaml", "TriggerAuthentication main-meetbot-metrics", "spec secretRef", [], "KEDA: Additional properties"),
    # Parameters of triggers, which the schemas leave open.
    ("keda.yaml", NATIVE, "spec triggers 0 type", "metric-api", "no parameters of the trigger metric-api"),
    ("keda.yaml", NATIVE, "spec triggers 0 metadata valuelocation", "a", "there is no parameter valuelocation"),
    ("keda.yaml", NATIVE, "spec triggers 0 metadata url", None, "it lacks url"),
    ("keda.yaml", NATIVE, "spec triggers 0 metadata format", "text", "format is text"),
    ("keda.yaml", NATIVE, "spec triggers 0 metadata authMode", "token", "authMode is token"),
    ("keda.yaml", NATIVE, "spec triggers 0 authenticationRef name", "other", "there is no TriggerAuthentication other"),
    ("keda.yaml", NATIVE, "spec triggers 0 authenticationRef", None, "the token of authMode bearer is missing"),
    ("prometheus.yaml", NATIVE, "spec triggers 0 metadata server", "a", "there is no parameter server"),
    ("prometheus.yaml", NATIVE, "spec triggers 0 metadata serverAddress", None, "it lacks serverAddress"),
    # By what pools are scaled.
    ("keda.yaml", NATIVE, "spec triggers 0 metadata valueLocation", 'meetbot_place_wanted{pool="native"}', "no metric meetbot_place_wanted"),
    ("keda.yaml", NATIVE, "spec triggers 0 metadata valueLocation", 'meetbot_places_wanted{pool="browser"}', "it is scaled by the pool browser"),
    ("prometheus.yaml", NATIVE, "spec triggers 0 metadata query", "max(meetbot_places_wanted)", "it is scaled by the pool None"),
    ("prometheus.yaml", NATIVE, "spec triggers 0 metadata threshold", "20", "a number of bots that is not 40"),
    ("keda.yaml", NATIVE, "spec rollout", None, "an upgrade deletes pods with bots"),
    ("keda.yaml", NATIVE, "spec scalingStrategy strategy", "accurate", "pods that run are not subtracted"),
    ("keda.yaml", NATIVE, "spec maxReplicaCount", None, "no largest number of pods"),
    ("keda.yaml", NATIVE, f"{TEMPLATE} spec restartPolicy", "OnFailure", "an ended pod is started again"),
    # Workers.
    ("fixed.yaml", FIXED, f"{FIXED_CONTAINER} args", IDLE, "only the pod of a job ends by itself"),
    ("keda.yaml", NATIVE, f"{CONTAINER} args", IDLE[:-1], "only the pod of a job ends by itself"),
    ("keda.yaml", BROWSER, f"{CONTAINER} args", IDLE, "it takes jobs of --pools=native"),
    ("fixed.yaml", FIXED, f"{FIXED_CONTAINER} args 3", "--pool=native", "has no option --pool"),
    ("fixed.yaml", FIXED, f"{FIXED_CONTAINER} args 5", "--metrics=127.0.0.1:9310", "its metrics are at"),
    ("fixed.yaml", FIXED, f"{FIXED_CONTAINER} env 1 name", "MEETBOT_WORKER_DRAIN", "there is no setting MEETBOT_WORKER_DRAIN"),
    ("fixed.yaml", FIXED, "spec template spec volumes 0 name", "other", "volumes and mounts differ"),
    ("fixed.yaml", FIXED, "spec template spec terminationGracePeriodSeconds", None, "killed before its last uploads"),
    ("fixed.yaml", FIXED, "spec template spec serviceAccountName", "other", "no such ServiceAccount"),
    ("fixed.yaml", FIXED, "spec template metadata annotations cluster-autoscaler.kubernetes.io/safe-to-evict", None, "its node may be removed"),
    ("fixed.yaml", FIXED, f"{FIXED_CONTAINER} resources requests ephemeral-storage", None, "no disk for recordings"),
    ("browser.yaml", FIXED_BROWSER, f"{FIXED_CONTAINER} resources limits memory", "4Gi", "its requests are not its limits"),
    ("browser.yaml", FIXED_BROWSER, f"{FIXED_CONTAINER} env 3 value", "1", "its browsers are not as many as its bots"),
    ("browser.yaml", "ConfigMap main-meetbot-worker-browser", "data settings.toml", "[bots.browser]\nmemory = 1", "there is no setting bots.browser.memory"),
    ("browser.yaml", "ConfigMap main-meetbot-worker-browser", "data settings.toml", "[bots.browser", "its settings cannot be read"),
    ("browser.yaml", FIXED, f"{FIXED_CONTAINER} args 5", "--labels=eu", "has no option --labels"),
    # Fields of a PodMonitor, and what it selects.
    ("browser.yaml", MONITOR, "spec podMetricsEndpoint", [], "PodMonitorSpec has no field podMetricsEndpoint"),
    ("browser.yaml", MONITOR, "spec podMetricsEndpoints", None, "PodMonitorSpec lacks podMetricsEndpoints"),
    ("browser.yaml", MONITOR, "spec podMetricsEndpoints 0 paths", "/", "PodMetricsEndpoint has no field paths"),
    ("browser.yaml", MONITOR, "spec podMetricsEndpoints 0 port", "http", "no worker has a port http"),
    ("browser.yaml", MONITOR, "apiVersion", "monitoring.coreos.com/v2", "there is no monitoring.coreos.com/v2"),
    ("browser.yaml", MONITOR, "spec selector matchLabels meetbot/pool", "native", "selects 1 kinds of pods"),
    # What finds pods, and what reaches them.
    ("fixed.yaml", "PodDisruptionBudget main-meetbot-worker-native", "spec selector matchLabels meetbot/pool", "browser", "selects 0 kinds of pods"),
    ("browser.yaml", FIXED_BROWSER, "spec selector matchLabels meetbot/pool", None, "selects 2 kinds of pods"),
    ("browser.yaml", "NetworkPolicy main-meetbot-worker", "spec podSelector matchLabels meetbot/pool", "native", "selects 1 kinds of pods"),
    ("fixed.yaml", "NetworkPolicy main-meetbot-worker", "spec egress 2 ports", [{"port": 443, "protocol": "TCP"}], "UDP must be open"),
    ("fixed.yaml", "NetworkPolicy main-meetbot-worker", "spec ingress 0 ports 0 port", "http", "more than the metrics"),
)
