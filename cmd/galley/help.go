package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"galley/compose"
)

// exitCodesHelp is the help topic on exit codes.
func exitCodesHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes:

  0    done; with plan --detailed-exitcode: nothing is to be done
  1    failed, for a reason that has no code of its own
  2    the command line is wrong
  3    the recipe is invalid, or can't be found or read
  4    changes are pending (plan --detailed-exitcode)
  5    an image is not there and can't be pulled
  6    a service did not get healthy, or did not complete
  7    the engine can't be reached, does not answer, or is too old or new
  8    another process is changing the project
  130  interrupted by SIGINT, 143 by SIGTERM

When several things went wrong, one code is returned: of those that apply the first of 130, 2, 3, 8, 7, 5, 6, 1.
up --exit-code-from SERVICE returns that service's own exit code.`,
	}
}

// environmentHelp is the help topic on environment variables.
func environmentHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "environment",
		Short: "The environment variables that count",
		Long: `Environment variables, where no flag says otherwise:

  COMPOSE_FILE                  the recipe's files, separated by COMPOSE_PATH_SEPARATOR (default ":")
  COMPOSE_PROJECT_NAME          the project's name
  COMPOSE_PROFILES              the active profiles, separated by commas
  COMPOSE_ENV_FILES             files for interpolation, separated by commas
  COMPOSE_DISABLE_ENV_FILE      do not read .env
  COMPOSE_ANSI                  --ansi
  COMPOSE_PROGRESS              --progress
  COMPOSE_PARALLEL_LIMIT        --parallel
  COMPOSE_COMPATIBILITY         --compatibility
  COMPOSE_REMOVE_ORPHANS        --remove-orphans of plan and up
  COMPOSE_IGNORE_ORPHANS        --ignore-orphans of plan and up
  DOCKER_HOST                   the Engine's address: unix://, tcp://, or ssh:// by way of the ssh command
  DOCKER_CONTEXT                --context: whose Engine it is where DOCKER_HOST is not set
  DOCKER_TLS_VERIFY, DOCKER_CERT_PATH, DOCKER_API_VERSION
                                as the docker client reads them
  DOCKER_CONFIG                 directory of config.json, with the credentials of registries, and of the docker command line's
                                contexts (default: ~/.docker)
  NO_COLOR                      no colours
  GALLEY_PWD                    what $PWD means in recipes, wherever a shell is (default: PWD)
  GALLEY_RUN_DIR                directory of the locks, and of containers' configs and secrets if it is in memory, else
                                they are in /dev/shm (default: /run/galley for root, else the user's runtime directory)
  GALLEY_STATE_DIR              directory of what outlives a reboot, as the last good projects (default: /var/lib/galley for root, else
                                the user's state directory)`,
	}
}

// codesHelp is the help topic on the codes of findings.
func codesHelp() *cobra.Command {
	topic := &cobra.Command{Use: "codes", Short: "What the codes of findings mean"}
	topic.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeCodes(cmd.OutOrStdout()) })
	return topic
}

func writeCodes(w io.Writer) {
	fmt.Fprintln(w, "The codes of what check finds. They stay the same from release to release.")
	for _, code := range compose.Codes() {
		only := ""
		if code.Lint {
			only = ", told by check only"
		}
		fmt.Fprintf(w, "\n  %s (%s%s)\n", code.Name, code.Severity, only)
		for _, line := range wrap(code.Sentence, 84) {
			fmt.Fprintln(w, "      "+line)
		}
	}
}

// extensionsHelp is the help topic on x-galley.
func extensionsHelp() *cobra.Command {
	topic := &cobra.Command{Use: "extensions", Short: "What x-galley says in a recipe"}
	topic.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeExtensions(cmd.OutOrStdout()) })
	return topic
}

func writeExtensions(w io.Writer) {
	fmt.Fprint(w, `A service may say what the compose-spec has no word for:

  services:
    web:
      image: app:1
      x-galley:
        early_probes: false

Other tools pass it over. What galley doesn't know there is an error.
`)
	for _, key := range compose.ExtensionKeys() {
		fmt.Fprintf(w, "\n  %s: %s (default: %s)\n", key.Name, key.Value, key.Default)
		for _, line := range wrap(key.Doc, 84) {
			fmt.Fprintln(w, "      "+line)
		}
	}
}

// wrap breaks a text into lines of at most so many letters, where its words allow that.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
