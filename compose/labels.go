package compose

// Labels that docker compose gives to what it creates. The same names make its ls, ps and logs, and every tool that
// reads them, work on what Galley creates; and they let Galley adopt what docker compose left.
// Source: github.com/docker/compose, pkg/api/labels.go.
const (
	LabelProject     = "com.docker.compose.project"
	LabelService     = "com.docker.compose.service"
	LabelNumber      = "com.docker.compose.container-number"
	LabelOneOff      = "com.docker.compose.oneoff"
	LabelConfigHash  = "com.docker.compose.config-hash"
	LabelDependsOn   = "com.docker.compose.depends_on" // "db:service_healthy:false,…": service:condition:restart
	LabelWorkingDir  = "com.docker.compose.project.working_dir"
	LabelConfigFiles = "com.docker.compose.project.config_files" // comma separated
	LabelVersion     = "com.docker.compose.version"
	LabelImage       = "com.docker.compose.image" // the image's ID
	LabelNetwork     = "com.docker.compose.network"
	LabelVolume      = "com.docker.compose.volume"
)

// Galley's own labels.
const (
	// LabelHash is [Service.Hash], [Network.Hash] or [Volume.Hash]: it alone decides whether something changed.
	LabelHash = "io.galley.hash"
	// LabelPreStop is [Service.PreStop] as JSON: a container is stopped properly without its recipe.
	LabelPreStop = "io.galley.pre-stop"
	// LabelPostStart is [Service.PostStart] as JSON, for a start without the recipe.
	LabelPostStart = "io.galley.post-start"
	// LabelFields is [Service.Fields] as JSON, for the reasons of a later plan.
	LabelFields = "io.galley.fields"
)
