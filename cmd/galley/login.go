package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/api/types/registry"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"galley/engine/credentials"
)

// loginFlags are the flags of login.
type loginFlags struct {
	username, password string
	passwordStdin      bool
}

// loginCommand logs into a registry and keeps the credentials for later pulls.
func (c *cli) loginCommand() *cobra.Command {
	var flags loginFlags
	cmd := &cobra.Command{
		Use:   "login [flags] [REGISTRY]",
		Short: "Log into a registry, for the pulls to come",
		Long: `Log into a registry, Docker Hub without a name, and keep the credentials for the pulls
to come. The Engine tries them first.

They are kept where the docker command line keeps them: in config.json in DOCKER_CONFIG
or in ~/.docker, readable by its owner alone, or with the credential helper that this
file names (credHelpers, credsStore). --registry-auth-file names another file.

The password is asked for on a terminal, or read from standard input with
--password-stdin.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.login(cmd.Context(), &flags, registryArgument(args))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&flags.username, "username", "u", "", "`USER` to log in as")
	f.BoolVar(&flags.passwordStdin, "password-stdin", false, "read the password from standard input")
	f.StringVarP(&flags.password, "password", "p", "", "")
	f.Lookup("password").Hidden = true
	return cmd
}

// logoutCommand forgets a registry's credentials.
func (c *cli) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "logout [flags] [REGISTRY]",
		Short: "Forget the credentials of a registry",
		Long: `Forget the credentials of a registry, Docker Hub without a name: in the file and with
the credential helper that login keeps them in. The Engine is not asked.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			host := registryArgument(args)
			if c.global.dryRun {
				c.ui.say("the credentials for %s in %s would be forgotten", host, c.authFile().Path)
				return nil
			}
			had, err := c.authFile().Remove(cmd.Context(), host)
			switch {
			case err != nil:
				return err
			case had:
				c.ui.say("logged out of %s", host)
			default:
				c.ui.say("not logged in to %s", host)
			}
			return nil
		},
	}
}

// registryArgument is the host of the registry that is named, or Docker Hub's.
func registryArgument(args []string) string {
	if len(args) == 0 {
		return credentials.DockerHub
	}
	return credentials.Host(args[0])
}

// login asks for what is missing, has the Engine try it, and keeps it.
func (c *cli) login(ctx context.Context, flags *loginFlags, host string) error {
	if flags.password != "" {
		c.ui.warn("others on this machine see the arguments of a process")
		c.ui.hint("give the password with --password-stdin")
	}
	auth, err := c.askCredentials(flags, host)
	if err != nil {
		return err
	}
	e, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	if auth, err = e.Login(ctx, host, auth); err != nil {
		return err
	}
	file := c.authFile()
	if c.global.dryRun {
		c.ui.say("%s takes the credentials; they would be kept by way of %s", host, file.Path)
		return nil
	}
	helper, err := file.Put(ctx, host, auth)
	if err != nil {
		return err
	}
	where := file.Path
	if helper != "" {
		where = "docker-credential-" + helper
	}
	c.ui.say("logged in to %s; the credentials are kept in %s", host, where)
	return nil
}

// askCredentials takes user and password from the flags, from standard input, or from a person at a terminal.
func (c *cli) askCredentials(flags *loginFlags, host string) (registry.AuthConfig, error) {
	auth := registry.AuthConfig{Username: flags.username, Password: flags.password}
	terminal, isFile := c.stdin.(*os.File)
	person := isFile && term.IsTerminal(int(terminal.Fd()))
	switch {
	case (flags.passwordStdin || flags.password != "") && auth.Username == "":
		return auth, &usageError{err: errors.New("the password needs a user"), hint: "give it with --username"}
	case flags.passwordStdin && flags.password != "":
		return auth, contradiction("--password", "--password-stdin")
	case flags.password != "":
	case flags.passwordStdin:
		text, err := io.ReadAll(c.stdin)
		if err != nil {
			return auth, fmt.Errorf("reading the password: %w", err)
		}
		auth.Password = strings.TrimRight(string(text), "\r\n")
	case !person:
		return auth, &usageError{err: errors.New("there is no terminal to ask for the password at"), hint: "give it with --username and --password-stdin"}
	default:
		if auth.Username == "" {
			fmt.Fprintf(c.err, "user for %s: ", host)
			line, err := bufio.NewReader(terminal).ReadString('\n')
			if err != nil {
				return auth, fmt.Errorf("reading the user: %w", err)
			}
			auth.Username = strings.TrimSpace(line)
		}
		fmt.Fprint(c.err, "password: ")
		text, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(c.err)
		if err != nil {
			return auth, fmt.Errorf("reading the password: %w", err)
		}
		auth.Password = string(text)
	}
	if auth.Username == "" || auth.Password == "" {
		return auth, &usageError{err: errors.New("user and password must not be empty")}
	}
	return auth, nil
}

// authFile is the file with the credentials of registries; its path is "" where the surroundings name none.
func (c *cli) authFile() credentials.File {
	path, dir := c.global.authFile, c.dockerDir()
	switch {
	case path != "":
		return credentials.File{Path: c.absolute(path)}
	case dir != "":
		return credentials.File{Path: filepath.Join(dir, "config.json")}
	}
	return credentials.File{}
}

// registryCredentials are the engine's way to them. A file that is named must be there; the usual one need not.
func (c *cli) registryCredentials(ctx context.Context, host string) (registry.AuthConfig, error) {
	file := c.authFile()
	if c.global.authFile != "" {
		if _, err := os.Stat(file.Path); errors.Is(err, fs.ErrNotExist) {
			return registry.AuthConfig{}, fmt.Errorf("reading --registry-auth-file: %w", err)
		}
	}
	return file.Get(ctx, host)
}
