# Renders one job of a release as the director does. Standard input is a JSON object:
#
#   release     the release's directory
#   job         the job's name
#   properties  those of the manifest, variables filled in
#   spec        what templates see as spec: name, index, id, az, ip, deployment, bootstrap, …
#   links       by name: {instances: [{address, id, index, …}], properties: {}}
#   out         the directory to write to
#
# Semantics: only declared properties are seen, with their defaults; names are nested at their dots; nil counts as unset;
# keys of all mappings are sorted; what a template raises fails the deployment, with the template's name.

require 'erb'
require 'fileutils'
require 'json'
require 'ostruct'
require 'yaml'

class UnknownProperty < StandardError
  def initialize(names)
    super("Can't find property '#{names.join("', or '")}'")
  end
end

class UnknownLink < StandardError
  def initialize(name)
    super("Can't find link '#{name}'")
  end
end

# What if_p and if_link return: else does something only if nothing was found.
class ActiveElse
  def initialize(context)
    @context = context
  end

  def else
    yield
  end

  def else_if_p(*names, &block)
    @context.if_p(*names, &block)
  end

  def else_if_link(name, &block)
    @context.if_link(name, &block)
  end
end

class InactiveElse
  def else; end

  def else_if_p(*_names)
    self
  end

  def else_if_link(_name)
    self
  end
end

module Properties
  def p(*args)
    names = Array(args[0])
    names.each do |name|
      value = lookup(name)
      return value unless value.nil?
    end
    return args[1] if args.length == 2

    raise UnknownProperty, names
  end

  def if_p(*names)
    values = names.map do |name|
      value = lookup(name)
      return ActiveElse.new(self) if value.nil?

      value
    end
    yield(*values)
    InactiveElse.new
  end

  private

  def lookup(name)
    name.split('.').reduce(raw_properties) do |at, key|
      return nil if at.nil?

      at[key] # raises for a number or a string, as the director does
    end
  end
end

class Link
  include Properties
  attr_reader :instances, :raw_properties

  def initialize(link)
    @instances = link['instances'].map { |it| OpenStruct.new(it) }
    @raw_properties = link['properties'] || {}
  end
end

class Context
  include Properties
  attr_reader :raw_properties, :spec

  def initialize(properties, spec, links)
    @raw_properties = properties
    @spec = struct(spec)
    @links = links
  end

  def name
    spec.name
  end

  def index
    spec.index
  end

  def properties
    struct(raw_properties)
  end

  def link(name)
    raise UnknownLink, name unless @links[name]

    Link.new(@links[name])
  end

  def if_link(name)
    return ActiveElse.new(self) unless @links[name]

    yield Link.new(@links[name])
    InactiveElse.new
  end

  def get_binding
    binding
  end

  private

  def struct(value)
    case value
    when Hash then OpenStruct.new(value.map { |key, it| [key, struct(it)] }.to_h)
    when Array then value.map { |it| struct(it) }
    else value
    end
  end
end

def sorted(value)
  case value
  when Hash then value.sort.map { |key, it| [key, sorted(it)] }.to_h
  when Array then value.map { |it| sorted(it) }
  else value
  end
end

# The declared properties out of those that the manifest gives.
def declared(declarations, given)
  declarations.each_with_object({}) do |(name, declaration), seen|
    keys = name.split('.')
    value = keys.reduce(given) { |at, key| at.is_a?(Hash) ? at[key] : nil }
    value = declaration['default'] if value.nil?
    parent = keys[0..-2].reduce(seen) { |at, key| at[key] ||= {} }
    parent[keys.last] = value
  end
end

request = JSON.parse($stdin.read)
dir = File.join(request['release'], 'jobs', request['job'])
job = YAML.safe_load(File.read(File.join(dir, 'spec')))
properties = sorted(declared(job['properties'] || {}, request['properties'] || {}))
context = Context.new(properties, request['spec'] || {}, request['links'] || {})

templates = (job['templates'] || {}).map { |source, target| [File.join('templates', source), target] } + [%w[monit monit]]
templates.each do |source, target|
  erb = ERB.new(File.read(File.join(dir, source)), trim_mode: '-')
  erb.filename = File.join(dir, source)
  text = begin
    erb.result(context.get_binding)
  rescue StandardError, ScriptError => e
    warn "Unable to render templates for job '#{request['job']}': Error filling in template '#{source.delete_prefix('templates/')}': #{e.message}"
    exit 1
  end
  path = File.join(request['out'], target)
  FileUtils.mkdir_p(File.dirname(path))
  File.binwrite(path, text)
end
