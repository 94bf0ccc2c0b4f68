//! Devices by name.

use burn::tensor::Device;

/// The environment variable that names the device when the command line does not.
pub const VARIABLE: &str = "BURN_DEVICE";

/// Every device there can be, in the order `auto` prefers them. Each is a cargo feature of the same name.
pub const DEVICES: [&str; 8] = ["cuda", "metal", "rocm", "vulkan", "webgpu", "wgpu", "flex", "ndarray"];

/// Why a device cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No such device.
    #[error("there is no device `{name}` ({origin}); the devices are auto, {}", DEVICES.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was asked for.
        origin: &'static str,
    },
    /// Known, but not part of this build.
    #[error(
        "device `{name}` ({origin}) is not part of this build, which has {}; build again with `--features {name}`",
        list(compiled_in)
    )]
    NotCompiled {
        /// What was asked for.
        name: String,
        /// Where it was asked for.
        origin: &'static str,
        /// What there is.
        compiled_in: Vec<&'static str>,
    },
    /// No device at all.
    #[error("this build has no device; build again with `--features flex`, or with one of {}", DEVICES.join(", "))]
    None,
    /// Part of this build, but the machine does not provide it.
    #[error("device `{name}` does not start: {message}; install its driver{}", or_cpu(compiled_in))]
    Broken {
        /// What was asked for.
        name: &'static str,
        /// What it said.
        message: String,
        /// What there is.
        compiled_in: Vec<&'static str>,
    },
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_string() } else { names.join(", ") }
}

/// The advice to take a device that needs no driver, if this build has one.
fn or_cpu(names: &[&str]) -> String {
    let cpu = names.iter().find(|name| needs_no_driver(name));
    cpu.map(|name| format!(", or use `--device {name}`")).unwrap_or_default()
}

fn needs_no_driver(name: &str) -> bool {
    matches!(name, "flex" | "ndarray")
}

/// A device that started, and its name.
#[derive(Clone, Debug)]
pub struct NamedDevice {
    /// One of [`DEVICES`].
    pub name: &'static str,
    /// The device, without autodiff.
    pub device: Device,
}

/// The devices of this build, best first.
pub fn compiled_in() -> Vec<&'static str> {
    DEVICES.into_iter().filter(|name| constructor(name).is_some()).collect()
}

/// The device called `name`; for none or `auto`, the one [`VARIABLE`] names, and without that the best of this build.
///
/// # Errors
///
/// [`DeviceError`].
pub fn resolve(name: Option<&str>) -> Result<NamedDevice, DeviceError> {
    let variable = std::env::var(VARIABLE).ok();
    let (name, make) = choose(name, variable.as_deref())?;
    let device = make();
    start(name, &device)?;
    Ok(NamedDevice { name, device })
}

type Constructor = fn() -> Device;

fn choose(name: Option<&str>, variable: Option<&str>) -> Result<(&'static str, Constructor), DeviceError> {
    let auto = |name: &&str| !name.eq_ignore_ascii_case("auto") && !name.is_empty();
    let asked = match (name.filter(auto), variable.filter(auto)) {
        (Some(name), _) => Some((name, "--device")),
        (None, Some(name)) => Some((name, VARIABLE)),
        (None, None) => None,
    };
    let Some((name, origin)) = asked else {
        let name = compiled_in().first().copied().ok_or(DeviceError::None)?;
        return Ok((name, constructor(name).ok_or(DeviceError::None)?));
    };
    let lower = name.to_lowercase();
    let Some(known) = DEVICES.into_iter().find(|&known| known == lower) else {
        return Err(DeviceError::Unknown { name: name.to_string(), origin });
    };
    match constructor(known) {
        Some(make) => Ok((known, make)),
        None => Err(DeviceError::NotCompiled { name: lower, origin, compiled_in: compiled_in() }),
    }
}

/// Burn's GPU runtimes panic when there is no adapter. One tiny tensor tells.
fn start(name: &'static str, device: &Device) -> Result<(), DeviceError> {
    if needs_no_driver(name) {
        return Ok(());
    }
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let probe = std::panic::catch_unwind(|| burn::Tensor::<1>::ones([1], device).into_data());
    std::panic::set_hook(hook);
    probe.map(|_| ()).map_err(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|message| message.to_string()))
            .unwrap_or_else(|| "it gave no reason".to_string());
        DeviceError::Broken { name, message, compiled_in: compiled_in() }
    })
}

/// How to make a device of this build.
fn constructor(name: &str) -> Option<Constructor> {
    #[cfg(any(feature = "cuda", feature = "rocm"))]
    use burn::tensor::DeviceIndex;
    #[cfg(feature = "wgpu")]
    use burn::tensor::DeviceKind;
    match name {
        #[cfg(feature = "cuda")]
        "cuda" => Some(|| Device::cuda(DeviceIndex::Default)),
        #[cfg(feature = "metal")]
        "metal" => Some(|| Device::metal(DeviceKind::DefaultDevice)),
        #[cfg(feature = "rocm")]
        "rocm" => Some(|| Device::rocm(DeviceIndex::Default)),
        #[cfg(feature = "vulkan")]
        "vulkan" => Some(|| Device::vulkan(DeviceKind::DefaultDevice)),
        #[cfg(feature = "webgpu")]
        "webgpu" => Some(|| Device::webgpu(DeviceKind::DefaultDevice)),
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(|| Device::wgpu(DeviceKind::DefaultDevice)),
        #[cfg(feature = "flex")]
        "flex" => Some(Device::flex),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // deprecated upstream, and still asked for
        "ndarray" => Some(Device::ndarray),
        _ => None,
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    fn name(option: Option<&str>, variable: Option<&str>) -> Result<&'static str, DeviceError> {
        choose(option, variable).map(|(name, _)| name)
    }

    #[test]
    fn the_option_wins_over_the_variable_and_auto_over_neither() {
        assert_eq!(name(Some("flex"), Some("nonsense")), Ok("flex"));
        assert_eq!(name(Some("auto"), Some("FLEX")), Ok("flex"));
        assert_eq!(name(None, None), Ok(compiled_in()[0]));
        assert_eq!(name(None, Some("auto")), Ok(compiled_in()[0]));
    }

    #[test]
    fn unknown_names_list_the_known_ones() {
        let message = name(Some("tpu"), None).unwrap_err().to_string();
        assert!(message.contains("`tpu` (--device)") && message.contains("flex, ndarray"), "{message}");
        let message = name(None, Some("tpu")).unwrap_err().to_string();
        assert!(message.contains("BURN_DEVICE"), "{message}");
    }

    #[test]
    fn a_device_outside_this_build_names_its_feature() {
        let missing: Vec<_> = DEVICES.into_iter().filter(|name| !compiled_in().contains(name)).collect();
        for device in missing {
            let message = name(Some(device), None).unwrap_err().to_string();
            assert!(message.contains(&format!("--features {device}")), "{message}");
        }
    }

    #[test]
    fn a_broken_device_advises_only_what_this_build_has() {
        let message = |compiled_in| {
            DeviceError::Broken { name: "vulkan", message: "no adapter".to_string(), compiled_in }.to_string()
        };
        assert!(message(vec!["vulkan", "ndarray"]).ends_with("install its driver, or use `--device ndarray`"));
        assert!(message(vec!["vulkan"]).ends_with("install its driver"));
    }

    #[test]
    fn flex_starts() {
        assert_eq!(resolve(Some("flex")).unwrap().name, "flex");
    }
}
