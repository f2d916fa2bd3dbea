"""Who goes where."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import path

from otpkit.integrations.django.views import LoginView, SignupView

from .views import AccountView, ProfileView

urlpatterns = [
    path("", ProfileView.as_view(), name="profile"),
    # Whoever may send these two forms makes you pay for an SMS: a CAPTCHA or a risk check belongs before them.
    path("signup/", SignupView.as_view(success_url="account"), name="signup"),
    path("login/", LoginView.as_view(), name="login"),
    path("account/", AccountView.as_view(), name="account"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
