"""slicer.packaging without installing: requirements are checked for real, an installation is only noted."""

from importlib import metadata

from packaging.requirements import Requirement

installRequests: list[str] = []  # what a module asked to install


def _requirements(req):
    items = req.split() if isinstance(req, str) else [req] if isinstance(req, Requirement) else req
    return [Requirement(i) if isinstance(i, str) else i for i in items]


def _satisfied(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def pip_check(req):
    return all(_satisfied(r) for r in _requirements(req))


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    installRequests.extend(str(r) for r in _requirements(requirements) if not _satisfied(r))


def pip_install(
    requirements,
    constraints=None,
    no_deps_requirements=None,
    skip_packages=None,
    blocking=True,
    show_progress=True,
    requester=None,
    logCallback=None,
    completedCallback=None,
):
    installRequests.extend(requirements.split() if isinstance(requirements, str) else requirements)
    if completedCallback is not None:
        completedCallback(0)


def pip_uninstall(requirements):
    raise NotImplementedError("The Slicer stand-in uninstalls nothing")
