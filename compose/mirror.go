package compose

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// mirror holds copies of the files that a recipe includes and extends, without what was taken out of them: the loader reads
// such files itself, by their names. It is one of the loader's ResourceLoaders, so that paths in a copy start where the original
// lies.
type mirror struct {
	folder string
	// included and bases are the copies by their originals. A file may be both, and is then read as two documents.
	included, bases map[string]string
	dirs            map[string]string // of the originals, by copy
	undo            []func()
}

// Accept tells whether a path is that of a copy.
func (m *mirror) Accept(path string) bool { return m.dirs[path] != "" }

// Load returns a copy's path.
func (m *mirror) Load(_ context.Context, path string) (string, error) { return path, nil }

// Dir is the folder that a copy's original lies in.
func (m *mirror) Dir(path string) string { return m.dirs[path] }

// mirrored writes the copies, and lets the recipe's documents name them, until restore is called. The copies stay until they
// are removed.
func (r *recipe) mirrored() (*mirror, error) {
	folder, err := os.MkdirTemp("", "galley-check-")
	if err != nil {
		return nil, err
	}
	m := &mirror{folder: folder, included: map[string]string{}, bases: map[string]string{}, dirs: map[string]string{}}
	documents := map[string][]*document{}
	for _, doc := range r.index.docs {
		if !r.owns(doc.file) {
			copied := m.add(m.included, doc.file)
			documents[copied] = append(documents[copied], doc)
		}
	}
	for file, doc := range r.index.bases {
		copied := m.add(m.bases, file)
		documents[copied] = append(documents[copied], doc)
	}
	for _, doc := range r.index.everything() {
		m.redirectIncludes(doc)
		m.redirectExtends(doc)
	}
	for copied, docs := range documents {
		if err := writeDocuments(copied, docs); err != nil {
			m.restore()
			m.remove()
			return nil, err
		}
	}
	return m, nil
}

// owns tells whether a file is one of those that the recipe was asked for with.
func (r *recipe) owns(name string) bool {
	return slices.ContainsFunc(r.files, func(f *file) bool { return f.name == name })
}

// add gives a file a copy, if it has none yet.
func (m *mirror) add(copies map[string]string, file string) string {
	if copies[file] == "" {
		copies[file] = filepath.Join(m.folder, strconv.Itoa(len(m.dirs)), filepath.Base(file))
		m.dirs[copies[file]] = filepath.Dir(file)
	}
	return copies[file]
}

// restore lets the documents name the originals again.
func (m *mirror) restore() {
	for _, undo := range m.undo {
		undo()
	}
	m.undo = nil
}

func (m *mirror) remove() { os.RemoveAll(m.folder) }

// redirectIncludes lets a document include the copies, with the project directories that the originals have.
func (m *mirror) redirectIncludes(doc *document) {
	list := child(doc.root, "include")
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for i, item := range list.Content {
		n := resolve(item)
		paths, project := texts(n), scalar(child(n, "project_directory"))
		if n.Kind == yaml.MappingNode {
			paths = texts(child(n, "path"))
		}
		if len(paths) == 0 || m.included[doc.pathOf(paths[0])] == "" {
			continue
		}
		if project == "" {
			project = filepath.Dir(doc.pathOf(paths[0]))
		}
		project = doc.pathOf(project)
		files := &yaml.Node{Kind: yaml.SequenceNode}
		for _, path := range paths {
			path = doc.pathOf(path)
			if copied := m.included[path]; copied != "" {
				path = copied
			}
			files.Content = append(files.Content, textNode(path))
		}
		other := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{
			textNode("path"), files, textNode("project_directory"), textNode(project),
		}}
		if env := child(n, "env_file"); env != nil {
			other.Content = append(other.Content, textNode("env_file"), env)
		}
		list.Content[i] = other
		m.undo = append(m.undo, func() { list.Content[i] = item })
	}
}

// redirectExtends lets the services of a document extend those of the copies.
func (m *mirror) redirectExtends(doc *document) {
	doc.each("services.*.extends.file", func(s spot) {
		copied := m.bases[doc.pathOf(s.value.Value)]
		if s.value.Kind != yaml.ScalarNode || copied == "" {
			return // or it is redirected already, behind an anchor
		}
		file := s.value.Value
		s.value.Value = copied
		m.undo = append(m.undo, func() { s.value.Value = file })
	})
}

// pathOf is the absolute path that a document means with a text.
func (d *document) pathOf(text string) string {
	if expanded, err := d.interpolated(text); err == nil {
		text = expanded
	}
	return absolute(d.dir, text)
}

func textNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// writeDocuments writes documents to a file in a folder of its own.
func writeDocuments(path string, docs []*document) error {
	defer closeGaps(docs)()
	text, err := encodeDocuments(docs)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func encodeDocuments(docs []*document) ([]byte, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	for _, doc := range docs {
		if err := encoder.Encode(doc.root); err != nil {
			return nil, err
		}
	}
	err := encoder.Close()
	return text.Bytes(), err
}
