package main

import (
	"context"
	"errors"

	"galley/compose"
	"galley/imports"
)

// airGapped reads what tarballs hold, if check is to hold recipes against that. What can't be used of them are findings.
func (c *cli) airGapped(ctx context.Context, flags *checkFlags) (*compose.Offline, []compose.Diagnostic, error) {
	if !flags.airGapped {
		if len(flags.tarballs.globs) > 0 {
			return nil, nil, &usageError{err: errors.New("--import needs --air-gapped")}
		}
		return nil, nil, nil
	}
	scanner := c.scanner(flags.tarballs.root)
	archives, faults := scanner.Scan(ctx, flags.tarballs.patterns()...)
	if ctx.Err() != nil {
		return nil, nil, faults
	}
	var unusable []compose.Diagnostic
	for _, f := range faultObjects(faults) {
		if f.Fault != imports.WrongPlatform { // which matters if a recipe wants the image
			unusable = append(unusable, compose.UnusableTarball(f.Path+": "+f.Message, f.File, f.Line))
		}
	}
	images := &compose.Offline{Machine: imports.ThisMachine().String(), Image: func(ref string) (compose.OfflineImage, error) {
		img, err := imports.Find(archives, ref)
		return compose.OfflineImage{Platform: img.Platform.String(), Runs: img.Runs, Probed: img.Healthcheck.Enabled()}, err
	}}
	return images, unusable, nil
}
