// Package adopt puts Deed between a person's copilots and the MCP servers that they have
// configured already. It reads the configuration files of the clients, writes a deed.yaml with those
// servers as upstreams and a policy to start from, and puts `deed stdio` in each server's place. Every
// other byte of a client's file, comments too, stays as it is, and the file as it was is kept.
package adopt
