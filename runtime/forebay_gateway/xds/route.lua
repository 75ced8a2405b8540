-- Finds the cluster that answers a request. Runs inside Envoy, once per request.
-- `default_namespace`, `holder_http`, `holder_grpc` and `rollouts` are set by the lines that Forebay puts in front.
-- The rules are those of forebay_schema.addresses and forebay_gateway.holder.calls; tests hold them to the same vectors.

local suffixes = { [""] = true, [".svc"] = true, [".svc.cluster.local"] = true }

local http_calls = {
  [""] = true, ["/infer"] = true, ["/generate"] = true, ["/generate_stream"] = true, ["/config"] = true, ["/stats"] = true,
}

local grpc_calls = {
  ModelInfer = true, ModelStreamInfer = true, ModelMetadata = true, ModelConfig = true, ModelStatistics = true,
}

local function is_label(text)
  return #text <= 63 and text:find("^[a-z0-9][-a-z0-9]*$") ~= nil and text:sub(-1) ~= "-"
end

local function model_of_authority(authority)
  local host = authority:lower():gsub(":%d%d?%d?%d?%d?$", "")
  local name, namespace, suffix = host:match("^([^.]+)%.([^.]+)(.*)$")
  if not name or not suffixes[suffix] or not is_label(name) or not is_label(namespace) then
    return nil
  end
  if name:find("^%d+$") and namespace:find("^%d+$") then
    return nil
  end
  return name, namespace
end

-- The model that the path of an inference or information call names.
local function model_of_path(path)
  local name, call = path:match("^[^?#]*"):match("^/v2/models/([^/]+)(.*)$")
  if not name or name == "stats" then
    return nil
  end
  call = call:gsub("^/versions/%d+", "", 1)
  return http_calls[call] and name or nil
end

local function pick(cluster, versions)
  local ticket = math.random(100)
  for _, version in ipairs(versions) do
    if ticket <= version.up_to then
      return cluster .. "/" .. version.number
    end
  end
  return cluster
end

local function find(handle, prefix, name, namespace)
  local model = namespace .. "/" .. name
  local cluster = prefix .. model
  local versions = rollouts[model]
  if versions then
    cluster = pick(cluster, versions)
  end
  return handle:getCluster(cluster) and cluster or nil
end

local function find_grpc(handle, headers)
  local method = headers:get(":path"):match("^/inference%.GRPCInferenceService/(%a+)$")
  local name, namespace = model_of_authority(headers:get(":authority") or "")
  if not name or not grpc_calls[method] then
    return nil
  end
  return find(handle, "g/", name, namespace)
end

local function find_http(handle, headers)
  local named = model_of_path(headers:get(":path"))
  local name, namespace = model_of_authority(headers:get(":authority") or "")
  if not named or (name and name ~= named) then
    return nil
  end
  return find(handle, "h/", named, namespace or default_namespace)
end

function envoy_on_route(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type") or ""
  if content_type:sub(1, 16) == "application/grpc" then
    return find_grpc(handle, headers) or holder_grpc
  end
  return find_http(handle, headers) or holder_http
end
