package compose

import (
	"maps"
	"testing"
)

// TestFits: what an earlier Galley created is kept where only that differs what changes in place, which its hash covered.
func TestFits(t *testing.T) {
	web := loadService(t, "restart: always\nmem_limit: 64m\nenvironment: {A: a}\nnetworks: {default: {mac_address: 02:42:ac:11:00:03}}")
	plain := loadService(t, "environment: {A: a}")
	older := func(s *Service, change func(f fields)) map[string]string {
		f := maps.Clone(digestAll(s))
		change(f)
		return f
	}
	nothing := func(fields) {}
	tests := []struct {
		name    string
		service *Service
		hash    string
		fields  map[string]string
		want    bool
	}{
		{"its own hash", web, web.Hash, nil, true},
		{"another hash of this version", web, "2:0", web.Fields, false},
		{"the older hash, the same fields", web, "1:0", older(web, nothing), true},
		{"the older hash, another restart policy and limit", plain, "1:0", older(plain, func(f fields) { f["restart"], f["mem_limit"] = "x", "y" }), true},
		{"the older hash, on another network", plain, "1:0", older(plain, func(f fields) { f["networks.front"] = "x" }), true},
		{"the older hash, another environment", plain, "1:0", older(plain, func(f fields) { f["environment.A"] = "x" }), false},
		{"the older hash, a field more", plain, "1:0", older(plain, func(f fields) { f["user"] = "x" }), false},
		{"the older hash, a field less", plain, "1:0", older(plain, func(f fields) { delete(f, "environment.A") }), false},
		{"the older hash and no fields", plain, "1:0", nil, false},
		{"a later version", plain, "3:0", older(plain, nothing), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.service.Fits(test.hash, test.fields); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
