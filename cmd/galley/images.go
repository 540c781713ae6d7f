package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"galley/imports"
)

// imagesFlags are the flags of images.
type imagesFlags struct {
	tarballs, verify, quiet bool
	format                  string
}

// imagesCommand tells what is in exported image tarballs.
func (c *cli) imagesCommand() *cobra.Command {
	var flags imagesFlags
	cmd := &cobra.Command{
		Use:   "images [flags] [SERVICE...] | images --tarballs [flags] FILE...",
		Short: "List the containers' images, or tell what is in exported image tarballs",
		Long: `List the images that the project's containers were created from, with docker compose's
columns and fields; no readable recipe is needed, only the project's name.

With --tarballs, tell which images are in tarballs, as docker save, podman, skopeo, crane and BuildKit
write them: docker-archives and OCI archives, plain or compressed with gzip, zstd, bzip2
or xz. Only files are read; nothing is loaded and no Engine is asked.

Each FILE is a tarball, or, if its name ends in .lst, a list of tarballs: their paths,
separated by white space, relative ones as seen from the list; after a path perhaps the
checksum that its file must have, as sha256:...; "#" begins a comment. FILE may be a
pattern, as '/var/vcap/jobs/*/docker-bosh-release-import/*.lst', and so may the paths.

A compressed tarball is read only until it is known what is in it. With --verify
everything is read, and each layer compared with its digest.

Each tarball that can't be used is told, with the line that lists it, and so is each
image that this machine does not run; the exit code is 1 then. The size is that of the
layers as they lie in the tarball; "-" if reading stopped before them.

With --format json one object is printed; its fields are stable:

  archives  of each path, size, modified, digest, format, compression, where it is
            listed, and its images with tags, id, platform, platforms, diff_ids, ...
  faults    of each fault (` + "`missing`, `truncated`, ..." + `), path, message, and the list's
            file and line`,
		RunE: func(cmd *cobra.Command, files []string) error {
			switch {
			case !flags.tarballs && flags.verify:
				return &usageError{err: errors.New("--verify needs --tarballs")}
			case !flags.tarballs:
				return c.listImages(cmd, &flags, files)
			case len(files) == 0:
				return &usageError{err: errors.New("--tarballs needs a FILE")}
			}
			scanner := thriftyScanner()
			scanner.Verify = flags.verify
			archives, err := scanner.Scan(cmd.Context(), files...)
			return c.printArchives(&flags, archives, err)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.tarballs, "tarballs", false, "read exported images")
	f.BoolVarP(&flags.quiet, "quiet", "q", false, "ids alone, of the containers' images")
	f.BoolVar(&flags.verify, "verify", false, "read all of them and compare each layer with its digest")
	f.Var(newChoice(&flags.format, "table", "table", "json"), "format", "table or json")
	return cmd
}

// printArchives prints what was found, and returns what was wrong.
func (c *cli) printArchives(flags *imagesFlags, archives []imports.Archive, wrong error) error {
	if flags.format == "json" {
		return errors.Join(writeArchivesJSON(c.out, archives, wrong), silently(wrong))
	}
	if len(archives) > 0 {
		if err := writeArchivesTable(c.out, archives); err != nil {
			return err
		}
	} else if wrong == nil {
		c.ui.note("there are no tarballs")
	}
	return wrong
}

// silently keeps the exit code of an error that was told already.
func silently(err error) error {
	if is[*imports.Error](err) {
		return statusError(exitFailed)
	}
	return err
}

func writeArchivesTable(w io.Writer, archives []imports.Archive) error {
	table := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	fmt.Fprintln(table, "ARCHIVE\tTAGS\tPLATFORM\tSIZE\tID")
	for _, a := range archives {
		for _, image := range a.Images {
			var platforms []string
			for _, p := range image.Platforms {
				platforms = append(platforms, p.String())
			}
			size := "-"
			if image.Size > 0 {
				size = units.HumanSizeWithPrecision(float64(image.Size), 3)
			}
			tags := either(strings.Join(image.Tags, ", "), "<none>")
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", sanitize(a.Path), tags, sanitize(strings.Join(platforms, ", ")), size,
				strings.TrimPrefix(image.ID, "sha256:")[:12])
		}
	}
	return table.Flush()
}

// archivesObject is what images --format json prints; the command's help documents the fields.
type archivesObject struct {
	Archives []imports.Archive `json:"archives"`
	Faults   []faultObject     `json:"faults"`
}

type faultObject struct {
	Fault   imports.Fault `json:"fault"`
	Path    string        `json:"path"`
	Message string        `json:"message"`
	File    string        `json:"file,omitempty"`
	Line    int           `json:"line,omitempty"`
}

func writeArchivesJSON(w io.Writer, archives []imports.Archive, wrong error) error {
	o := archivesObject{Archives: append([]imports.Archive{}, archives...), Faults: faultObjects(wrong)}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(o)
}

// faultObjects takes the joined errors of a scan apart.
func faultObjects(err error) []faultObject {
	all := []faultObject{}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			all = append(all, faultObjects(one)...)
		}
		return all
	}
	var e *imports.Error
	if errors.As(err, &e) {
		all = append(all, faultObject{e.Fault, e.Path, e.Err.Error(), e.Listed.File, e.Listed.Line})
	}
	return all
}
