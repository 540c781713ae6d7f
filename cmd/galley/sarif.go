package main

import (
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"galley/compose"
)

// The parts of a SARIF log that are used, by the names of the standard (OASIS SARIF 2.1.0, section 3).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string       `json:"id"`
		ShortDescription sarifMessage `json:"shortDescription"`
		Configuration    sarifConfig  `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level string `json:"level"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifLocation struct {
		Physical *sarifPhysical `json:"physicalLocation,omitempty"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
	}
)

// writeSARIF prints findings as a SARIF log: one run, whose rules are all codes there are.
func (c *cli) writeSARIF(verdicts []verdict) error {
	codes := compose.Codes()
	driver := sarifDriver{Name: "galley", Version: c.version, Rules: make([]sarifRule, 0, len(codes))}
	for _, code := range codes {
		driver.Rules = append(driver.Rules, sarifRule{
			ID: code.Name, ShortDescription: sarifMessage{code.Sentence}, Configuration: sarifConfig{string(code.Severity)},
		})
	}
	// The parser of YAML counts characters.
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, v := range verdicts {
		for _, d := range v.findings {
			run.Results = append(run.Results, c.sarifResult(d, codes))
		}
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

func (c *cli) sarifResult(d compose.Diagnostic, codes []compose.Code) sarifResult {
	text := d.Message
	if d.Hint != "" {
		text += "; hint: " + d.Hint
	}
	result := sarifResult{
		RuleID:    d.Code,
		RuleIndex: slices.IndexFunc(codes, func(code compose.Code) bool { return code.Name == d.Code }),
		Level:     string(d.Severity),
		Message:   sarifMessage{text},
	}
	var at sarifLocation
	if d.File != "" {
		at.Physical = &sarifPhysical{Artifact: sarifArtifact{c.fileURI(d.File)}}
		if d.Line > 0 {
			at.Physical.Region = &sarifRegion{d.Line, d.Column}
		}
	}
	if d.Path != "" {
		at.Logical = []sarifLogical{{d.Path}}
	}
	if at.Physical != nil || at.Logical != nil {
		result.Locations = []sarifLocation{at}
	}
	return result
}

// fileURI is a file as a URI: relative to the working directory where it lies below it, as code hosts want it.
func (c *cli) fileURI(file string) string {
	if file == "-" {
		return "stdin"
	}
	path := filepath.ToSlash(c.inWorkspace(c.relative(file)))
	if strings.HasPrefix(path, "/") {
		return (&url.URL{Scheme: "file", Path: path}).String()
	}
	return (&url.URL{Path: path}).String()
}
