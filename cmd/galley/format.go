package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template/parse"
	"unicode"
)

// formatHelp documents --format where it takes templates.
const formatHelp = "table, json, a Go `TEMPLATE`, or \"table TEMPLATE\" for one with headings"

// headings are the words over the columns of a table, by field.
type headings map[string]string

// Label is the heading of a single label's column: its last word, as docker prints it.
func (headings) Label(name string) string {
	return name[strings.LastIndexByte(name, '.')+1:]
}

// writeFormatted prints rows as --format says: a table of the usual template, an object a line, or by a template of the
// caller's, with docker's functions.
func writeFormatted[T any](w io.Writer, format, usual string, head headings, rows []T) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		for _, row := range rows {
			if err := encoder.Encode(row); err != nil {
				return err
			}
		}
		return nil
	}
	text, table := strings.CutPrefix(format, "table")
	if text = strings.TrimSpace(text); text == "" {
		text, table = usual, true
	}
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	trees, err := parse.Parse("", text, "{{", "}}", formatFuncs())
	if err != nil {
		return &usageError{err: fmt.Errorf("--format: %w", err)}
	}
	var out io.Writer = w
	if table {
		// The widths are the docker CLI's: cells of at least ten columns, three of them space.
		columns := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
		defer columns.Flush()
		out = columns
		if err := writeRow(out, trees[""], rowOf(head, head.Label)); err != nil {
			return err
		}
	}
	for _, row := range rows {
		label := func(string) string { return "" }
		if labelled, ok := any(row).(interface{ Label(string) string }); ok {
			label = labelled.Label
		}
		if err := writeRow(out, trees[""], rowOf(row, label)); err != nil {
			return err
		}
	}
	return nil
}

// fields is a row as templates see it: its fields by name, as JSON has them, and its labels.
type fields struct {
	whole  any
	byName map[string]any
	label  func(name string) string
}

func rowOf(row any, label func(string) string) fields {
	f := fields{whole: row, label: label}
	text, _ := json.Marshal(row) // plain data always marshals
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	_ = decoder.Decode(&f.byName) // what was marshalled is an object
	return f
}

// writeRow prints a row by a template. Of Go's templates it knows fields and functions: the package text/template itself would
// keep the linker from leaving out what nobody calls, which makes the program a fifth larger.
func writeRow(w io.Writer, tree *parse.Tree, row fields) error {
	if tree != nil && tree.Root != nil {
		for _, node := range tree.Root.Nodes {
			text, err := row.print(node)
			if err != nil {
				return &usageError{err: fmt.Errorf("--format: %w", err)}
			}
			fmt.Fprint(w, text)
		}
	}
	fmt.Fprintln(w)
	return nil
}

func (f fields) print(node parse.Node) (any, error) {
	switch n := node.(type) {
	case *parse.TextNode:
		return string(n.Text), nil
	case *parse.CommentNode:
		return "", nil
	case *parse.ActionNode:
		return f.pipe(n.Pipe)
	}
	return nil, fmt.Errorf("%s: only fields and functions are known here", node)
}

// pipe is the value of a pipeline: each command gets the one before as its last argument.
func (f fields) pipe(pipe *parse.PipeNode) (value any, err error) {
	if len(pipe.Decl) > 0 {
		return nil, fmt.Errorf("%s: only fields and functions are known here", pipe)
	}
	for i, command := range pipe.Cmds {
		var args []any
		for _, node := range command.Args[1:] {
			arg, err := f.value(node)
			if err != nil {
				return nil, err
			}
			args = append(args, arg)
		}
		if i > 0 {
			args = append(args, value)
		}
		if value, err = f.call(command.Args[0], args); err != nil {
			return nil, err
		}
	}
	return value, nil
}

// call applies a function, or .Label, to arguments; anything else is a value.
func (f fields) call(node parse.Node, args []any) (any, error) {
	switch n := node.(type) {
	case *parse.IdentifierNode:
		return apply(n.Ident, args)
	case *parse.FieldNode:
		if name, ok := single(args).(string); ok && len(n.Ident) == 1 && n.Ident[0] == "Label" {
			return f.label(name), nil
		}
	}
	if len(args) > 0 {
		return nil, fmt.Errorf("%s is no function", node)
	}
	return f.value(node)
}

func single(args []any) any {
	if len(args) == 1 {
		return args[0]
	}
	return nil
}

func (f fields) value(node parse.Node) (any, error) {
	switch n := node.(type) {
	case *parse.DotNode:
		return f.whole, nil
	case *parse.FieldNode:
		if value, ok := f.byName[n.Ident[0]]; ok && len(n.Ident) == 1 {
			return value, nil
		}
		return nil, fmt.Errorf("there is no field %s", n)
	case *parse.StringNode:
		return n.Text, nil
	case *parse.NumberNode:
		return int(n.Int64), nil
	case *parse.PipeNode:
		return f.pipe(n)
	}
	return nil, fmt.Errorf("%s: only fields and functions are known here", node)
}

// formatFuncs are the functions that docker gives to templates. Source: docker/cli templates/templates.go.
func formatFuncs() map[string]any {
	return map[string]any{
		"json": true, "split": true, "join": true, "lower": true, "upper": true, "title": true, "pad": true, "truncate": true,
	} // the parser asks for their names alone
}

// apply calls one of them.
func apply(name string, args []any) (any, error) {
	text := func(i int) string {
		if i < len(args) {
			return fmt.Sprint(args[i])
		}
		return ""
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(text(i))
		return max(0, n)
	}
	switch name {
	case "json":
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		err := encoder.Encode(single(args))
		return strings.TrimSpace(out.String()), err
	case "split":
		return strings.Split(text(0), text(1)), nil
	case "join":
		if len(args) == 0 {
			return "", nil
		}
		words, _ := args[0].([]string)
		return strings.Join(words, text(1)), nil
	case "lower":
		return strings.ToLower(text(0)), nil
	case "upper":
		return strings.ToUpper(text(0)), nil
	case "title":
		return titled(text(0)), nil
	case "pad":
		return strings.Repeat(" ", number(1)) + text(0) + strings.Repeat(" ", number(2)), nil
	}
	return text(0)[:min(len(text(0)), number(1))], nil // truncate
}

// titled begins each word with a capital.
func titled(text string) string {
	first := true
	return strings.Map(func(r rune) rune {
		if first {
			r = unicode.ToTitle(r)
		}
		first = unicode.IsSpace(r)
		return r
	}, text)
}
